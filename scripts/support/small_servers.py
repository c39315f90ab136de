"""A partition of large rows on servers with little memory: does the run finish, how much does it need, what does a kill cost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import langfuse, measure, program
from .comparison import Comparison
from .database import Database
from .errors import ScriptError
from .own_server import OwnServer
from .results import MEBIBYTE

ROWS = 320_000
LIMITS = (2_000_000_000, 4_000_000_000)
ENGINES = ("stream", "server")
DATABASE = "backfill_small"
GENERATION = langfuse.GENERATIONS["2026"]
LEDGER = ("load_state", "load_state_chunks", "load_claims", "load_samples")
LONGEST_RUN_SECONDS = 1800
# Words of 16 letters, of which there are 50,000, beside what the demo's inputs have: a row has 9 KB, and the text indexes have their work.
LARGE_INPUTS = """INSERT INTO observations SELECT * REPLACE (concat(ifNull(input, ''), ' ', arrayStringConcat(arrayMap(
    place -> lower(hex(sipHash64(cityHash64(id, place) % 50000))), range(480)), ' ')) AS input) FROM observations_of_the_demo
    WHERE cityHash64(id) % {pieces} = {piece} SETTINGS max_threads = 1, max_insert_threads = 1, max_block_size = 2000"""
PIECES = 16


class Patient(Database):
    """Asks again while the server has no memory for the answer."""

    def request(self, sql, settings):
        deadline = time.monotonic() + LONGEST_RUN_SECONDS
        while True:
            try:
                return super().request(sql, settings)
            except ScriptError as error:
                if "MEMORY_LIMIT_EXCEEDED" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.5)


class Study:
    def __init__(self, arguments, binary, folder, say):
        self.arguments = arguments
        self.binary = binary
        self.folder = folder
        self.say = say
        self.running = None
        self.server = OwnServer(folder / "server")
        self.database = Patient(self.server.url, DATABASE)

    def prepare(self):
        """Rows, attributes and what the join makes of them, on a server that has memory for it."""
        self.server.start()
        self.database.recreate()
        GENERATION.create(self.database)
        langfuse.make_data(self.database, self.arguments.rows)
        self.database.execute("RENAME TABLE observations TO observations_of_the_demo")
        self.database.execute("CREATE TABLE observations AS observations_of_the_demo")
        for piece in range(PIECES):
            self.database.execute(LARGE_INPUTS.format(pieces=PIECES, piece=piece))
        self.database.execute("DROP TABLE observations_of_the_demo SYNC")
        oracle = langfuse.Oracle(self.database, GENERATION.table)
        self.comparison = Comparison(self.database, oracle)
        self.expected = self.comparison.row_hash(oracle.select, "from_oracle")
        size = "SELECT intDiv(sum(data_uncompressed_bytes), sum(rows)) FROM system.parts WHERE active AND database = currentDatabase() AND table = 'observations'"
        self.bytes_per_row = int(self.database.value(size))

    def restart(self, limit):
        """Starts the server again; no limit is for comparing."""
        self.server.stop()
        config = None
        if limit:
            config = self.folder / "limit.xml"
            config.write_text(f"<clickhouse><max_server_memory_usage>{limit}</max_server_memory_usage></clickhouse>")
        self.server.start(config)

    def empty_target(self):
        for table in (GENERATION.table, *GENERATION.other_tables):
            self.database.execute(f"TRUNCATE TABLE {table} SYNC")
        for table in LEDGER:
            self.database.execute(f"DROP TABLE IF EXISTS {table} SYNC")

    def spawn(self, engine, log):
        url, summary = self.server.url, self.folder / "summary.json"
        command = [self.binary, "run", "--clickhouse-url", url, "--clickhouse-db", DATABASE, "--partition", langfuse.PARTITION, "--yes"]
        command += ["--target-table", GENERATION.table, "--engine", engine, "--summary-json", summary, "--no-progress"]
        environment = {name: value for name, value in os.environ.items() if name not in program.OWN_VARIABLES}
        with log.open("ab") as output:
            self.running = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=output, stderr=output)
        return self.running

    def finish(self, run, log):
        """Waits for the run; returns its summary."""
        try:
            code = run.wait(LONGEST_RUN_SECONDS)
        except subprocess.TimeoutExpired:
            run.kill()
            raise ScriptError(f"a run did not end within {LONGEST_RUN_SECONDS} s: {log}") from None
        if code != 0:
            raise ScriptError(f"a run ended with {code}: {log}\n{log.read_text(errors='replace')[-3000:]}")
        return json.loads((self.folder / "summary.json").read_text())

    def whole(self, limit, engine):
        """One run from nothing to the end."""
        self.restart(limit)
        self.empty_target()
        log = self.folder / f"{engine}-{limit}.log"
        with measure.Meter(self.database, self.server.process) as meter:
            summary = self.finish(self.spawn(engine, log), log)
        return {
            "seconds": meter.seconds,
            "server_query_memory_bytes": meter.query_memory,
            "server_resident_memory_bytes": meter.server_resident,
            "errors": summary["errors"],
            "repeated_rows": summary["repeated_rows"],
        }

    def killed(self, limit, engine):
        """One that is killed when half of its rows are recorded, and the same command again."""
        self.empty_target()
        log = self.folder / f"{engine}-{limit}-killed.log"
        run = self.spawn(engine, log)
        deadline = time.monotonic() + LONGEST_RUN_SECONDS
        while self.recorded() < self.expected[0] // 2:
            if run.poll() is not None or time.monotonic() > deadline:
                raise ScriptError(f"the run was not half done when it was to be killed: {log}\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)
        run.send_signal(signal.SIGKILL)
        run.wait()
        # What the server has received goes on.
        while int(self.database.value("SELECT count() FROM system.processes WHERE query_id != queryID() AND query_kind = 'Insert'")):
            time.sleep(0.1)
        there = int(self.database.value(f"SELECT uniqExact(project_id, start_time, trace_id, span_id) FROM {GENERATION.table}"))
        recorded = self.recorded()
        summary = self.finish(self.spawn(engine, log), log)
        inserted = int(summary["inserted_rows"])
        return {"rows_recorded_at_kill": recorded, "rows_there_at_kill": there, "rows_inserted_after": inserted, "rows_inserted_twice": there + inserted - self.expected[0]}

    def recorded(self):
        if not int(self.database.value("EXISTS TABLE load_state_chunks")):
            return 0
        return int(self.database.value("SELECT sum(rows_inserted) FROM load_state_chunks FINAL WHERE status = 'completed'"))

    def difference(self):
        """What differs from the join, on a server that has memory for it."""
        self.restart(None)
        found = self.comparison.row_hash(self.comparison.target(), "from_target")
        if found[0] != self.expected[0]:
            return f"{found[0]} rows instead of {self.expected[0]}"
        return "other values than the oracle's" if found != self.expected else None

    def case(self, limit, engine):
        """(figures, differences) of one engine at one limit."""
        differences = []
        label = f"{engine}, {limit / 1e9:g} GB"
        figures = {"label": label, "memory_limit_bytes": limit, "whole": self.whole(limit, engine)}
        differences.append(self.difference())
        self.restart(limit)
        figures["killed"] = self.killed(limit, engine)
        differences.append(self.difference())
        found = [f"{label}: {difference}" for difference in differences if difference]
        result = "; ".join(found) or "equal to the join both times"
        self.say(f"{label}: {figures['whole']['seconds']:.0f} s, {figures['killed']['rows_inserted_twice']:,} rows inserted twice after a kill, {result}")
        return figures, found


def study(arguments, binary, say):
    """(report, differences)"""
    # Else a study that is told to end would leave its server and its run behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    folder = Path(tempfile.mkdtemp(prefix="small-servers-"))
    one = Study(arguments, binary, folder, say)
    try:
        one.prepare()
        say(f"{one.expected[0]:,} rows of {one.bytes_per_row:,} bytes, folder {folder}")
        cases, differences = {}, []
        for limit in LIMITS:
            for engine in ENGINES:
                cases[f"{engine}-{limit}"], found = one.case(limit, engine)
                differences += found
        version = one.database.value("SELECT version()")
        data = {"rows": one.expected[0], "bytes_per_row": one.bytes_per_row, "target": GENERATION.table}
        return {"data": data, "cases": cases, "clickhouse": version}, differences
    finally:
        if one.running and one.running.poll() is None:
            one.running.kill()
            one.running.wait()
        one.server.stop()
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)


def table(report):
    lines = [f"{'':18}{'s':>6}{'queries MiB':>13}{'resident MiB':>14}{'errors':>8}{'recorded':>10}{'there':>10}{'again':>10}{'twice':>9}"]
    for one in report["cases"].values():
        whole, killed = one["whole"], one["killed"]
        lines.append(
            f"{one['label']:18}{whole['seconds']:6.0f}{whole['server_query_memory_bytes'] / MEBIBYTE:13,.0f}{whole['server_resident_memory_bytes'] / MEBIBYTE:14,.0f}"
            f"{whole['errors']:8}{killed['rows_recorded_at_kill']:10,}{killed['rows_there_at_kill']:10,}{killed['rows_inserted_after']:10,}{killed['rows_inserted_twice']:9,}"
        )
    lines.append("\nrecorded, there: rows when the run was killed; again: rows that the same command then inserted; twice: of which were there before")
    return "\n".join(lines)
