"""Bars as SVG, by hand, for a light and a dark page."""

from xml.sax.saxutils import escape

WIDTH = 820
LABEL = 250
BAR = 18
GAP = 10
# Between the bars of this program and those of others.
APART = 10
# One colour for what the server does and one for the client; the bars of others are grey.
STYLE = """
svg { --page: #ffffff; --ink: #24292f; --faint: #59636e; --own1: #2463ae; --own2: #c05621; --other1: #8b98a5; --other2: #c8cfd6; }
@media (prefers-color-scheme: dark) {
  svg { --page: #11151a; --ink: #e5e9ee; --faint: #95a1ae; --own1: #74ade8; --own2: #ec9a66; --other1: #6b7885; --other2: #414c57; }
}
text { font-family: system-ui, sans-serif; font-size: 13px; fill: var(--ink); }
.page { fill: var(--page); } .strong { font-weight: 600; } .faint { fill: var(--faint); font-size: 12px; } .right { text-anchor: end; }
.own1 { fill: var(--own1); } .own2 { fill: var(--own2); } .other1 { fill: var(--other1); } .other2 { fill: var(--other2); }
.limits { stroke: var(--ink); }
"""
OWN = "clickhouse-backfill"


class Panel:
    """One group of bars: rows of (label, values to stack, text at the end, (low, high) or None)."""

    def __init__(self, title, legend, rows):
        self.title = title
        self.legend = legend
        self.own = [row for row in rows if row[0].startswith(OWN)]
        self.others = [row for row in rows if not row[0].startswith(OWN)]

    def top(self):
        return 30 + (22 if self.legend else 0)

    def height(self):
        apart = APART if self.own and self.others else 0
        return self.top() + (len(self.own) + len(self.others)) * (BAR + GAP) + apart


def text(x, y, what, classes=""):
    return f"<text x='{x:.1f}' y='{y:.1f}' class='{classes}'>{escape(what)}</text>"


def bar(y, row, room, greatest, kind):
    label, values, end, limits = row
    out = [text(LABEL - 10, y + BAR - 5, label, "right strong" if kind == "own" else "right")]
    x = float(LABEL)
    for index, value in enumerate(values):
        width = room * value / greatest
        out.append(f"<rect x='{x:.1f}' y='{y}' width='{max(width, 0.5):.1f}' height='{BAR}' class='{kind}{index + 1}'/>")
        x += width
    if limits:
        low, high = (LABEL + room * value / greatest for value in limits)
        path = f"M{low:.1f} {y + BAR / 2} H{high:.1f} M{low:.1f} {y + 4} V{y + BAR - 4} M{high:.1f} {y + 4} V{y + BAR - 4}"
        out.append(f"<path d='{path}' class='limits'/>")
        x = max(x, high)
    return [*out, text(x + 8, y + BAR - 5, end, "faint")]


def draw_panel(panel, top):
    out = [text(16, top + 18, panel.title, "strong")]
    x = LABEL
    for index, name in enumerate(panel.legend):
        groups = [(kind, rows) for kind, rows in (("own", panel.own), ("other", panel.others)) if any(row[1][index:] and row[1][index] for row in rows)]
        for place, (kind, _) in enumerate(groups):
            out.append(f"<rect x='{x + place * 14}' y='{top + 30}' width='11' height='11' class='{kind}{index + 1}'/>")
        out.append(text(x + 6 + 14 * len(groups), top + 40, name, "faint"))
        x += 54 + 8 * len(name)
    room = WIDTH - LABEL - 150
    rows = panel.own + panel.others
    greatest = max((max(sum(values), limits[1] if limits else 0) for _, values, _, limits in rows), default=0) or 1
    y = top + panel.top()
    for kind, group in (("own", panel.own), ("other", panel.others)):
        for row in group:
            out += bar(y, row, room, greatest, kind)
            y += BAR + GAP
        y += APART if group else 0
    return out


def draw(title, subtitle, panels):
    height = 70 + sum(panel.height() + 14 for panel in panels)
    out = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' viewBox='0 0 {WIDTH} {height}' role='img'>",
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f"<rect width='{WIDTH}' height='{height}' class='page'/>",
        text(16, 28, title, "strong"),
        text(16, 48, subtitle, "faint"),
    ]
    top = 66
    for panel in panels:
        out += draw_panel(panel, top)
        top += panel.height() + 14
    return "\n".join([*out, "</svg>", ""])
