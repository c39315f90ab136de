"""How runs follow one quantity: the memory that they are given, or the rows that there are."""

import math

from . import variants
from .results import MEBIBYTE, ratio_lines, spread

ROWS = {"memory": 2_000_000, "growth": 4_000_000}
# Small enough for what is not attributes to stay small beside them.
BATCHES = ("--batch-bytes", "16MiB", "--readers", "2", "--inserters", "2")
# The part of a budget that the plan keeps for what the allocator loses, and what it gives to the program, readers and the queue of such batches.
USABLE = 0.92
OTHERS = (48 + 2 * (4 + 16) + 3 * 16) * MEBIBYTE
# Rows that are looked up late take a batch for each of the readers, and their answers a sixteenth of what is left, between 2 and 64 MiB.
LATE = 2 * 16 * MEBIBYTE
# A map is larger while it is loaded than afterwards.
HEADROOM = 1.3
# The demo's attributes are small beside the program, and a third of its rows are of one project. Here each project is divided into sixteen, of which
# hundreds share a budget, and a trace's metadata has 1.3 KB more, different in each, so that a sixteenth of all attributes is still more than the
# least that a run accepts.
MANY_PROJECTS = "concat(project_id, '-', lower(hex(cityHash64({trace}) % 16)))"
LARGE_METADATA = f"""
    RENAME TABLE traces TO traces_of_the_demo, observations TO observations_of_the_demo;
    CREATE TABLE traces AS traces_of_the_demo;
    CREATE TABLE observations AS observations_of_the_demo;
    SYSTEM STOP MERGES traces;
    SYSTEM STOP MERGES observations;
    INSERT INTO traces SELECT * REPLACE ({MANY_PROJECTS.format(trace="id")} AS project_id,
        CAST(mapUpdate(CAST(metadata, 'Map(String, String)'), map('context',
        arrayStringConcat(arrayMap(part -> hex(sipHash128(id, part)), range(40))))), 'Map(LowCardinality(String), String)') AS metadata)
    FROM traces_of_the_demo;
    INSERT INTO observations SELECT * REPLACE ({MANY_PROJECTS.format(trace="trace_id")} AS project_id) FROM observations_of_the_demo;
    DROP TABLE traces_of_the_demo SYNC;
    DROP TABLE observations_of_the_demo SYNC
"""


def memory_for(attributes):
    """The least that `--memory` must be for so many bytes of attributes."""
    answers = min(max(2 * MEBIBYTE, attributes / 15), 64 * MEBIBYTE)
    return math.ceil((OTHERS + LATE + answers + attributes) / USABLE)


def budgeted(name, label, budget):
    """A run with such flags, as a variant of the benchmark."""
    flags = (*BATCHES, "--memory", str(budget)) if budget else ()
    return type(name, (variants.Run,), {"name": name, "label": label, "flags": flags})


def figures(kind, rounds, rows):
    summaries = [one["summary"] for one in rounds]
    return {
        "label": kind.label,
        "rows": rows,
        "rows_per_second": spread([rows / one["seconds"] for one in rounds]),
        "peak_memory_bytes": max(one["client_peak_memory_bytes"] for one in rounds),
        "memory_limit_bytes": summaries[0]["memory_limit_bytes"],
        "waves": max(summary["waves"] for summary in summaries),
    }


def memory(prepared, rounds_of, arguments):
    """The same partition with room for all attributes, for a quarter and for a sixteenth of them."""
    bench = prepared(arguments.rows, LARGE_METADATA)
    generous = budgeted("generous", "to find what attributes need", 8192 * MEBIBYTE)
    found, differences = rounds_of(bench, [generous], 1)
    if differences:
        return {}, differences
    needed = found["generous"][0]["summary"]["lookup_memory_peak_bytes"] * HEADROOM
    kinds = []
    for name, label, share in (("whole", "all attributes at once", 1), ("quarter", "a quarter of them", 4), ("sixteenth", "a sixteenth of them", 16)):
        kinds.append(budgeted(name, label, memory_for(needed / share)))
    measured, differences = rounds_of(bench, kinds, arguments.rounds)
    study = {kind.name: figures(kind, measured[kind.name], bench.rows) for kind in kinds}
    pairs = {name: zip(measured["whole"], measured[name]) for name in ("quarter", "sixteenth")}
    ratios = {f"{name} / whole": spread([one["seconds"] / other["seconds"] for one, other in pair]) for name, pair in pairs.items()}
    return {"attributes_bytes": round(needed), "variants": study, "ratios": ratios}, differences


def growth(prepared, rounds_of, arguments):
    """A quarter of the rows, then all of them."""
    study, rates, differences = {}, [], []
    for name, rows in (("quarter", arguments.rows // 4), ("all", arguments.rows)):
        kind = budgeted(name, f"{rows:,} observations", None)
        bench = prepared(rows)
        measured, differing = rounds_of(bench, [kind], arguments.rounds)
        differences += differing
        study[name] = figures(kind, measured[name], bench.rows)
        rates.append(study[name]["rows_per_second"])
    few, many = rates
    ratio = {"median": many["median"] / few["median"], "low": many["low"] / few["high"], "high": many["high"] / few["low"]}
    return {"variants": study, "ratios": {"all / quarter": ratio}}, differences


ALL = {"memory": memory, "growth": growth}


def table(report):
    lines = [f"{'':34}{'krows/s':>9}{'(spread)':>14}{'limit MiB':>11}{'peak MiB':>10}{'waves':>7}"]
    for one in report["variants"].values():
        speed = one["rows_per_second"]
        lines.append(
            f"{one['label']:34}{speed['median'] / 1000:9.1f}{speed['low'] / 1000:8.1f}–{speed['high'] / 1000:<5.1f}"
            f"{one['memory_limit_bytes'] / MEBIBYTE:11.0f}{one['peak_memory_bytes'] / MEBIBYTE:10.0f}{one['waves']:7}"
        )
    lines.append("")
    lines += ratio_lines(report["ratios"])
    return "\n".join(lines)
