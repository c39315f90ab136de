"""Bars as SVG, by hand."""

from xml.sax.saxutils import escape

WIDTH = 820
LABEL = 230
BAR = 18
GAP = 10
FONT = "font-family='system-ui, sans-serif'"
COLOURS = ("#2f6f9f", "#d98e32")
TEXT = "#24292f"
FAINT = "#6e7781"


class Panel:
    """One group of bars: rows of (label, values to stack, text at the end, (low, high) or None)."""

    def __init__(self, title, legend, rows):
        self.title = title
        self.legend = legend
        self.rows = rows

    def height(self):
        return 44 + len(self.rows) * (BAR + GAP)


def text(x, y, what, size=13, colour=TEXT, extra=""):
    return f"<text x='{x:.1f}' y='{y:.1f}' {FONT} font-size='{size}' fill='{colour}' {extra}>{escape(what)}</text>"


def draw_panel(panel, top):
    out = [text(16, top + 18, panel.title, 14, TEXT, "font-weight='600'")]
    x = LABEL
    for index, name in enumerate(panel.legend):
        out.append(f"<rect x='{x + 160}' y='{top + 8}' width='11' height='11' fill='{COLOURS[index]}'/>")
        out.append(text(x + 176, top + 18, name, 12, FAINT))
        x += 90
    room = WIDTH - LABEL - 150
    greatest = max((max(sum(values), limits[1] if limits else 0) for _, values, _, limits in panel.rows), default=0) or 1
    y = top + 36
    for label, values, end, limits in panel.rows:
        out.append(text(LABEL - 10, y + BAR - 5, label, 13, TEXT, "text-anchor='end'"))
        x = float(LABEL)
        for index, value in enumerate(values):
            width = room * value / greatest
            out.append(f"<rect x='{x:.1f}' y='{y}' width='{max(width, 0.5):.1f}' height='{BAR}' fill='{COLOURS[index]}'/>")
            x += width
        if limits:
            low, high = (LABEL + room * value / greatest for value in limits)
            middle = y + BAR / 2
            out.append(f"<path d='M{low:.1f} {middle} H{high:.1f} M{low:.1f} {y + 4} V{y + BAR - 4} M{high:.1f} {y + 4} V{y + BAR - 4}' stroke='{TEXT}'/>")
            x = max(x, high)
        out.append(text(x + 8, y + BAR - 5, end, 12, FAINT))
        y += BAR + GAP
    return out


def draw(title, subtitle, panels):
    height = 70 + sum(panel.height() + 14 for panel in panels)
    out = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' viewBox='0 0 {WIDTH} {height}' role='img'>",
        f"<title>{escape(title)}</title>",
        f"<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>",
        text(16, 28, title, 17, TEXT, "font-weight='600'"),
        text(16, 48, subtitle, 12, FAINT),
    ]
    top = 66
    for panel in panels:
        out += draw_panel(panel, top)
        top += panel.height() + 14
    return "\n".join([*out, "</svg>", ""])
