"""From the rounds of a benchmark to figures, ratios, a table, JSON and a picture."""

import json
from statistics import median

from .picture import Panel, draw

MEBIBYTE = 1024 * 1024


def spread(values):
    return {"median": median(values), "low": min(values), "high": max(values)}


def figures(variant, rounds, rows):
    """The figures of one variant over all rounds. CPU is in microseconds a row, memory in bytes."""
    result = {
        "label": variant.label,
        "rows_per_second": spread([rows / one["seconds"] for one in rounds]),
        "seconds": spread([one["seconds"] for one in rounds]),
        "server_cpu_microseconds_per_row": spread([one["server_cpu_seconds"] * 1e6 / rows for one in rounds]),
        "server_query_memory_bytes": max(one["server_query_memory_bytes"] for one in rounds),
        "server_resident_memory_bytes": max(one["server_resident_memory_bytes"] for one in rounds),
        "target_parts": max(one["target_parts"] for one in rounds),
        "rounds": rounds,
    }
    if all("client_cpu_seconds" in one for one in rounds):
        result["client_cpu_microseconds_per_row"] = spread([one["client_cpu_seconds"] * 1e6 / rows for one in rounds])
        result["client_peak_memory_bytes"] = max(one["client_peak_memory_bytes"] for one in rounds)
    return result


def ratios(measured):
    """Speed against speed, compared within each round, so that what slowed a whole round down cancels out."""
    found = {}
    for ours, apart in (("run", ("run", "run_server", "dry_run")), ("run_server", ("run_server", "dry_run")), ("dry_run", ("dry_run", "run_server"))):
        for theirs in measured:
            if ours in measured and theirs not in apart:
                pairs = zip(measured[ours]["rounds"], measured[theirs]["rounds"])
                found[f"{ours} / {theirs}"] = spread([other["seconds"] / one["seconds"] for one, other in pairs])
    return found


def ratio_lines(found, width=44, digits=2):
    """A line for each ratio: its name, the median and the spread."""
    return [f"{name:{width}}{one['median']:6.{digits}f}   ({one['low']:.{digits}f}–{one['high']:.{digits}f})" for name, one in found.items()]


def table(measured, found):
    lines = [f"{'':42}{'krows/s':>9}{'(spread)':>14}{'server µs':>11}{'client µs':>11}{'server MiB':>12}{'client MiB':>12}{'parts':>7}"]
    for one in measured.values():
        speed = one["rows_per_second"]
        client = one.get("client_cpu_microseconds_per_row")
        lines.append(
            f"{one['label']:42}{speed['median'] / 1000:9.1f}{speed['low'] / 1000:8.1f}–{speed['high'] / 1000:<5.1f}"
            f"{one['server_cpu_microseconds_per_row']['median']:11.2f}"
            f"{client['median'] if client else 0:11.2f}{one['server_query_memory_bytes'] / MEBIBYTE:12.0f}"
            f"{one.get('client_peak_memory_bytes', 0) / MEBIBYTE:12.0f}{one['target_parts']:7}"
        )
    lines.append("")
    lines += ratio_lines(found)
    return "\n".join(lines)


def write_json(path, report):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write(folder, name, report):
    json_path, picture_path = folder / f"{name}.json", folder / f"{name}.svg"
    write_json(json_path, report)
    picture_path.write_text(picture(report), encoding="utf-8")
    return json_path, picture_path


def picture(report):
    measured = report["variants"].values()

    def speed(one):
        rate = {key: value / 1000 for key, value in one["rows_per_second"].items()}
        return one["label"], [rate["median"]], f"{rate['median']:.0f}", (rate["low"], rate["high"])

    def cpu(one):
        server = one["server_cpu_microseconds_per_row"]["median"]
        client = one.get("client_cpu_microseconds_per_row", {}).get("median", 0)
        return one["label"], [server, client], f"{server:.1f}" + (f" + {client:.1f}" if client else ""), None

    def memory(one):
        server = one["server_query_memory_bytes"] / MEBIBYTE
        client = one.get("client_peak_memory_bytes", 0) / MEBIBYTE
        return one["label"], [server, client], f"{server:.0f}" + (f" + {client:.0f}" if client else "") + " MiB", None

    panels = [
        Panel("thousand rows a second (median, least and greatest)", [], [speed(one) for one in measured]),
        Panel("CPU, µs a row", ["server", "client"], [cpu(one) for one in measured]),
        Panel("peak memory", ["server's queries", "client"], [memory(one) for one in measured]),
    ]
    data, versions, host = report["data"], report["versions"], report["machine"]
    subtitle = (
        f"{report['date']}, {data['rows']:,} rows of {data['bytes_per_row']:,} bytes, {data['traces']:,} traces, target {data['target']}, "
        f"ClickHouse {versions['clickhouse']}, {host['cores']} cores for both"
    )
    return draw("One partition into events", subtitle, panels)
