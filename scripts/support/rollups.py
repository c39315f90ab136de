"""A roll-up that is filled while writers write and a view fills it too: for scripts/demo."""

import datetime
import os
import signal
import subprocess
import tempfile
import threading
import time

from clickhouse_launcher.client import split_credentials

from . import program
from .database import Database
from .errors import ScriptError

JOB = "optiinfra/cost-metrics-hourly"
WRITERS = 2
BATCH = 500
LIMIT_SECONDS = 300

ROWS = """
INSERT INTO cost_metrics_ts
WITH toDateTime(toStartOfMonth(now('UTC')), 'UTC') AS begin
SELECT begin + (number * 997) % greatest(3600, toUInt32(now('UTC')) - toUInt32(begin)),
    toUUID('11111111-1111-1111-1111-11111111111' || toString(number % 7)), ['aws', 'gcp', 'azure'][number % 3 + 1],
    's' || toString(number % 5), 'i-' || toString(number % 20), 'large', 'eu', number % 1000 / 7, number % 101, 0, 1
FROM numbers({rows})
"""

DIFFERENCES = """
SELECT countIf(raw != rolled) FROM (
    SELECT hour, customer_id, cloud_provider, service_name, sum(n) AS raw, sum(m) AS rolled FROM (
        SELECT toStartOfHour(timestamp) AS hour, customer_id, cloud_provider, service_name, 1 AS n, 0 AS m FROM cost_metrics_ts
        UNION ALL SELECT hour, customer_id, cloud_provider, service_name, 0, sample_count FROM cost_metrics_hourly
    ) GROUP BY hour, customer_id, cloud_provider, service_name)
"""


class Writers:
    """Insert into the month that is filled, one batch after another."""

    def __init__(self, database):
        self.database = database
        self.ends = threading.Event()
        self.inserts = 0
        self.longest = 0.0
        self.errors = []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.write, daemon=True) for _ in range(WRITERS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        for thread in self.threads:
            thread.join()

    def write(self):
        while not self.ends.is_set():
            began = time.monotonic()
            try:
                self.database.execute(ROWS.format(rows=BATCH))
            except ScriptError as error:
                with self.lock:
                    self.errors.append(str(error))
                return
            with self.lock:
                self.inserts += 1
                self.longest = max(self.longest, time.monotonic() - began)
            time.sleep(0.02)


class Tool:
    """Commands of the program with this server."""

    def __init__(self, binary, database):
        url, user, password = split_credentials(database.url)
        self.binary = str(binary)
        self.flags = ["--clickhouse-url", url, "--clickhouse-db", database.name]
        self.environment = {name: value for name, value in os.environ.items() if name not in program.OWN_VARIABLES}
        for name, value in (("CLICKHOUSE_USER", user), ("CLICKHOUSE_PASSWORD", password)):
            if value:
                self.environment[name] = value

    def start(self, folder, *arguments):
        return subprocess.Popen(
            [self.binary, *arguments, *self.flags],
            cwd=folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, *arguments):
        with tempfile.TemporaryDirectory(prefix="clickhouse-backfill-") as folder:
            child = self.start(folder, *arguments)
            try:
                said, _ = child.communicate(timeout=LIMIT_SECONDS)
            finally:
                if child.poll() is None:
                    child.kill()
        if child.returncode != 0:
            raise ScriptError(f"{said[-4000:]}\n{' '.join(arguments)} ended with exit code {child.returncode}")
        return said

    def run_and_kill(self, after, *arguments):
        with tempfile.TemporaryDirectory(prefix="clickhouse-backfill-") as folder:
            child = self.start(folder, *arguments)
            time.sleep(after)
            child.send_signal(signal.SIGKILL)
            child.communicate()


def demonstrate(binary, database, rows, step, table):
    """Fills the roll-up of this month. Returns the problems."""
    month = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m")
    tool = Tool(binary, database)
    filling = ["run", "--job", JOB, "--partition", month, "--engine", "server", "--chunk-rows", str(max(rows // 10, 1))]
    step(f"making {rows:,} raw rows of {month} in the database {database.name}, and a roll-up that lacks them")
    database.recreate()
    tool.run("pack", "apply", "optiinfra")
    database.execute(ROWS.format(rows=rows))
    database.execute("TRUNCATE TABLE cost_metrics_hourly")
    step(f"{WRITERS} writers insert into the same month all the time, and the view goes on")
    with Writers(Database(database.url, database.name)) as writers:
        time.sleep(0.5)
        step("run, and kill -9 after 1.5 s")
        tool.run_and_kill(1.5, *filling)
        step("run again")
        began = time.monotonic()
        tool.run(*filling)
        table.add("second run", f"{time.monotonic() - began:.1f} s")
        time.sleep(0.5)
    problems = [f"an insert of a writer failed: {error}" for error in writers.errors]
    table.add("writers", f"{writers.inserts:,} inserts of {BATCH} rows, {len(writers.errors)} failed, the longest {writers.longest:.2f} s")
    step("comparing")
    tool.run("verify", "--job", JOB, "--partition", month)
    raw = int(database.value("SELECT count() FROM cost_metrics_ts"))
    rolled = int(database.value("SELECT sum(sample_count) FROM cost_metrics_hourly"))
    differing = int(database.value(DIFFERENCES))
    table.add("raw rows", f"{raw:,}, of which {rows:,} from before")
    table.add("roll-up", f"stands for {rolled:,} rows; {differing:,} groups differ")
    if raw != rolled or differing:
        problems.append(f"the roll-up stands for {rolled - raw:+,} rows")
    left = int(database.value("SELECT count() FROM system.tables WHERE database = currentDatabase() AND match(name, '_[0-9a-f]{16}')"))
    table.add("tables left", f"{left}")
    if left:
        problems.append(f"{left} tables of the runs are left")
    status = tool.run("status", "--job", JOB, "--partition", month)
    late = [line.split("; ")[-1].strip() for line in status.splitlines() if "late row" in line]
    table.add("late rows", late[0] if late else "none")
    return problems
