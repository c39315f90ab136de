"""What a roll-up costs: a run, one INSERT SELECT and the view over the same raw rows, and a run over ten times as many."""

import datetime
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from . import measure
from .database import Database
from .errors import ScriptError
from .own_server import OwnServer
from .results import MEBIBYTE, ratio_lines, spread
from .rollups import JOB, Tool

ROWS = 4_000_000
TIMES = 10
DATABASE = "backfill_rollups"
ROWS_OF_A_CUSTOMER = 40_000
SELECT = """SELECT toStartOfHour(timestamp) AS hour, customer_id, cloud_provider, service_name,
    sum(cost_per_hour) AS total_cost, avgState(utilization_percent) AS avg_utilization, count() AS sample_count
FROM {raw} GROUP BY hour, customer_id, cloud_provider, service_name"""
# Each customer has 3 services in every hour of the month: about 18 rows a group.
RAW_ROWS = """INSERT INTO cost_metrics_ts
SELECT toDateTime('{month}-01 00:00:00', 'UTC') + (number * 7919) % {seconds},
    toUUID(concat('00000000-0000-0000-0000-', leftPad(toString(intDiv(number, {of_a_customer})), 12, '0'))),
    ['aws', 'gcp', 'azure'][number % 3 + 1], concat('service ', toString(number % 3)), concat('i-', toString(number % 200)), 'large', 'eu',
    number % 1000 / 7, number % 101, number % 2, number % 3 = 0
FROM numbers({rows})"""
DIFFERENCES = """SELECT countIf(n != m OR abs(a - b) > 1e-9 * greatest(a, b)) FROM (
    SELECT hour, customer_id, cloud_provider, service_name, sum(x) AS n, sum(y) AS m, sum(c) AS a, sum(d) AS b FROM (
        SELECT toStartOfHour(timestamp) AS hour, customer_id, cloud_provider, service_name, 1 AS x, 0 AS y, cost_per_hour AS c, 0. AS d FROM cost_metrics_ts
        UNION ALL SELECT hour, customer_id, cloud_provider, service_name, 0, sample_count, 0., total_cost FROM cost_metrics_hourly
    ) GROUP BY hour, customer_id, cloud_provider, service_name)"""
STATEMENTS = """SELECT {kind} AS kind, count() AS statements,
    sum(ProfileEvents['UserTimeMicroseconds'] + ProfileEvents['SystemTimeMicroseconds']) AS microseconds, max(memory_usage) AS memory
FROM system.query_log
WHERE type = 'QueryFinish' AND current_database = '{database}' AND event_time_microseconds >= '{since}' AND ({of})
GROUP BY kind"""
# The label is the part of the id before its number.
LABEL = "replaceRegexpOne(extract(query_id, '^clickhouse-backfill-.+-([a-z0-9-]+)-[0-9]+$'), '^.*chunk[0-9]+.*$', 'chunk')"
OF_THE_RUN = "startsWith(query_id, 'clickhouse-backfill-')"


class Study:
    def __init__(self, binary, folder, say):
        self.binary = binary
        self.say = say
        self.server = OwnServer(folder / "server")
        self.database = Database(self.server.url, DATABASE)
        last = datetime.datetime.now(datetime.timezone.utc).date().replace(day=1) - datetime.timedelta(days=1)
        self.month, self.seconds = last.strftime("%Y-%m"), last.day * 86_400
        self.rows = 0

    def prepare(self, rows):
        """The tables of the pack with this many raw rows of the last month, without the view that would fill the roll-up."""
        self.rows = rows
        self.database.recreate()
        Tool(self.binary, self.database).run("pack", "apply", "optiinfra")
        self.database.execute("DROP VIEW cost_metrics_hourly_mv SYNC")
        sql = RAW_ROWS.format(month=self.month, seconds=self.seconds, of_a_customer=ROWS_OF_A_CUSTOMER, rows=rows)
        self.database.execute(sql, max_insert_threads=1, min_insert_block_size_rows=1_000_000)
        self.database.execute("OPTIMIZE TABLE cost_metrics_ts FINAL")
        self.database.execute("SYSTEM STOP MERGES cost_metrics_ts")

    def measured(self, work, kind, of):
        """What the statements of a piece of work take, by kind, and all processor time of the server meanwhile."""
        self.database.execute("TRUNCATE TABLE cost_metrics_hourly SYNC")
        since = self.database.value("SELECT toString(now64(6))")
        with measure.Meter(self.database, self.server.process) as meter:
            work()
        self.database.execute("SYSTEM FLUSH LOGS query_log")
        sql = STATEMENTS.format(kind=kind, database=DATABASE, since=since, of=of)
        found = {name: (int(count), float(cpu), int(memory)) for name, count, cpu, memory in self.database.rows(sql)}
        return found, {"seconds": meter.seconds, "server_cpu_microseconds_per_row": meter.server_cpu * 1e6 / self.rows}

    def fill(self):
        partition = self.month.replace("-", "")
        Tool(self.binary, self.database).run("run", "--job", JOB, "--partition", partition, "--engine", "server", "--restart", "--yes", "--no-progress")

    def run(self):
        found, figures = self.measured(self.fill, LABEL, OF_THE_RUN)
        for table in ("load_state", "load_state_chunks", "load_claims", "load_samples"):
            self.database.execute(f"DROP TABLE IF EXISTS {table} SYNC")
        whole = sum(cpu for _, cpu, _ in found.values())
        chunks = found.get("chunk")
        if not chunks:
            raise ScriptError(f"the run has no statements of chunks in system.query_log: {sorted(found)}")
        return {
            **figures,
            "chunks": chunks[0],
            "chunk_microseconds_per_row": chunks[1] / self.rows,
            "microseconds_per_row": whole / self.rows,
            "by_label": {name: cpu / self.rows for name, (_, cpu, _) in sorted(found.items(), key=lambda one: -one[1][1])},
            "chunk_memory_bytes": chunks[2],
            "query_memory_bytes": max(memory for _, _, memory in found.values()),
        }

    def statement(self, sql, **settings):
        """What one statement takes."""
        comment = "rollup costs"
        found, figures = self.measured(lambda: self.database.execute(sql, log_comment=comment, **settings), "'statement'", f"log_comment = '{comment}'")
        _, cpu, memory = found["statement"]
        return {**figures, "microseconds_per_row": cpu / self.rows, "query_memory_bytes": memory}

    def insert_select(self):
        return self.statement("INSERT INTO cost_metrics_hourly " + SELECT.format(raw="cost_metrics_ts"))

    def view(self):
        """The view of a table that keeps no row, fed in blocks of 100,000 rows; without what feeding takes."""
        self.database.execute("CREATE TABLE feed AS cost_metrics_ts ENGINE = Null")
        feed, blocks = "INSERT INTO feed SELECT * FROM cost_metrics_ts", {"max_block_size": 100_000, "max_threads": 1}
        blocks.update(min_insert_block_size_rows=100_000, min_insert_block_size_bytes=0)
        without = self.statement(feed, **blocks)
        self.database.execute("CREATE MATERIALIZED VIEW feed_mv TO cost_metrics_hourly AS " + SELECT.format(raw="feed"))
        figures = self.statement(feed, **blocks)
        for name in ("microseconds_per_row", "server_cpu_microseconds_per_row"):
            figures[name] -= without[name]
        for table in ("feed_mv", "feed"):
            self.database.execute(f"DROP TABLE {table} SYNC")
        return figures

    def differences(self, label):
        differing = int(self.database.value(DIFFERENCES))
        return [f"{label}: {differing} groups differ from the raw rows"] if differing else []

    def rounds(self, count, ways):
        """{name: [figures]} of alternating rounds, and what differs."""
        measured, differences = {name: [] for name in ways}, []
        names = list(ways)
        for number in range(count):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                figures = ways[name]()
                measured[name].append(figures)
                found = self.differences(f"{name}, {self.rows:,} rows")
                differences += found
                chunks = f", chunks {figures['chunk_microseconds_per_row']:.3f}" if "chunks" in figures else ""
                result = "; ".join(found) or "equal to the raw rows"
                self.say(f"round {number + 1}: {name:14} {self.rows:12,} rows {figures['microseconds_per_row']:7.3f} µs a row{chunks}; {result}")
        return measured, differences


def summed(label, rows, rounds):
    """The figures of all rounds."""
    result = {"label": label, "rows": rows, "rounds": rounds}
    for name in ("microseconds_per_row", "chunk_microseconds_per_row", "server_cpu_microseconds_per_row"):
        if name in rounds[0]:
            result[name] = spread([one[name] for one in rounds])
    for name in ("query_memory_bytes", "chunk_memory_bytes", "chunks"):
        if name in rounds[0]:
            result[name] = max(one[name] for one in rounds)
    return result


def ratio(ours, theirs):
    """Within each round, so that what slowed a whole round down cancels out."""
    return spread([one / other for one, other in zip(ours, theirs)])


def study(arguments, binary, say):
    """(report, differences)"""
    # Else a study that is told to end would leave its server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    folder = Path(tempfile.mkdtemp(prefix="rollup-costs-"))
    one = Study(binary, folder, say)
    few, many = arguments.rows, arguments.rows * TIMES
    try:
        one.server.start()
        say(f"{few:,} raw rows, load {os.getloadavg()[0]:.1f}")
        one.prepare(few)
        measured, differences = one.rounds(arguments.rounds, {"run": one.run, "insert select": one.insert_select, "view": one.view})
        say(f"{many:,} raw rows, load {os.getloadavg()[0]:.1f}")
        one.prepare(many)
        of_many, differing = one.rounds(1, {"run": one.run, "insert select": one.insert_select})
        version = one.database.value("SELECT version()")
    finally:
        one.server.stop()
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    variants = {name: summed(name, few, rounds) for name, rounds in measured.items()}
    variants.update({f"{name}, {TIMES} times the rows": summed(name, many, rounds) for name, rounds in of_many.items()})
    of = lambda name, figure: [one[figure] for one in measured[name]]  # noqa: E731
    chunks = of("run", "chunk_microseconds_per_row")
    ratios = {
        "chunks / one INSERT SELECT": ratio(chunks, of("insert select", "microseconds_per_row")),
        "chunks / the view": ratio(chunks, of("view", "microseconds_per_row")),
        "all statements of the run / one INSERT SELECT": ratio(of("run", "microseconds_per_row"), of("insert select", "microseconds_per_row")),
        f"chunks over {TIMES} times the rows / over the rows": ratio([of_many["run"][0]["chunk_microseconds_per_row"]] * len(chunks), chunks),
    }
    return {"variants": variants, "ratios": ratios, "clickhouse": version}, differences + differing


def table(report):
    lines = [f"{'':16}{'raw rows':>12}{'chunks':>8}{'µs a row':>10}{'(spread)':>15}{'of the chunks':>15}{'server process':>16}{'MiB a query':>13}{'MiB a chunk':>13}"]
    for one in report["variants"].values():
        cost, chunk, process = one["microseconds_per_row"], one.get("chunk_microseconds_per_row"), one["server_cpu_microseconds_per_row"]
        lines.append(
            f"{one['label']:16}{one['rows']:12,}{one.get('chunks', '–'):>8}{cost['median']:10.3f}{cost['low']:9.3f}–{cost['high']:<5.3f}"
            f"{chunk['median'] if chunk else cost['median']:15.3f}{process['median']:16.3f}{one['query_memory_bytes'] / MEBIBYTE:13.1f}"
            f"{one.get('chunk_memory_bytes', one['query_memory_bytes']) / MEBIBYTE:13.1f}"
        )
    lines.append("")
    lines += ratio_lines(report["ratios"], width=50)
    return "\n".join(lines)
