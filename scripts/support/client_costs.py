"""What inserting a row costs the client: the typed client of the library beside two Python clients, in alternating rounds."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from clickhouse_launcher.library import cache_directory

from . import program
from .database import Database
from .errors import ScriptError
from .own_server import OwnServer
from .results import ratio_lines, spread
from .rollups import Tool

ROWS = 1_000_000
BATCH_ROWS = 100_000
DATABASE = "backfill_client"
OWN = "this library"
PACKAGES = ("clickhouse-connect==1.12.0", "clickhouse-driver==0.2.11", "pandas==3.1.1")
PYTHON_WAYS = {
    "clickhouse-connect, data frames": "data-frames",
    "clickhouse-connect, rows": "rows",
    "clickhouse-driver, columns": "columns",
    "clickhouse-driver, dictionaries": "dictionaries",
}
INSERTS = Path(__file__).resolve().parent / "client_inserts.py"


def python_with_clients(say):
    """The Python in the cache that has the clients; prints a line and returns None where they cannot be installed."""
    folder = cache_directory() / "client-study"
    python, marker = folder / "bin" / "python", folder / "packages"
    if marker.exists() and marker.read_text() == "\n".join(PACKAGES):
        return python
    say(f"installing {', '.join(PACKAGES)} in {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"SKIPPED: the Python clients cannot be installed, so there is nothing to compare with: {error}")
        return None
    marker.write_text("\n".join(PACKAGES))
    return python


def build_client(say):
    """The program of benches/client.rs."""
    say("building benches/client.rs")
    command = ["cargo", "build", "--release", "--locked", "--bench", "client", "--message-format", "json-render-diagnostics"]
    built = subprocess.run(command, cwd=program.ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if built.returncode != 0:
        raise ScriptError("cargo build failed, see above")
    messages = (json.loads(line) for line in built.stdout.splitlines() if line.startswith("{"))
    for message in messages:
        if message.get("reason") == "compiler-artifact" and message["target"]["name"] == "client" and message.get("executable"):
            return message["executable"]
    raise ScriptError("cargo names no program of the bench client")


class Study:
    def __init__(self, binary, client, python, server, rows):
        self.binary, self.client, self.python, self.server = binary, client, python, server
        self.batches = max(rows // BATCH_ROWS, 1)
        self.database = Database(server.url, DATABASE)

    @property
    def rows(self):
        return self.batches * BATCH_ROWS

    def prepare(self):
        self.database.recreate()
        Tool(self.binary, self.database).run("pack", "apply", "optiinfra")
        self.database.execute("DROP VIEW cost_metrics_hourly_mv SYNC")

    def own(self, batches):
        """Processor seconds, user and system, of a run of the client with this many batches."""
        environment = {"CLIENT_STUDY_URL": self.server.url, "CLIENT_STUDY_DATABASE": DATABASE, "CLIENT_STUDY_BATCHES": str(batches)}
        child = subprocess.Popen([self.client], env={**os.environ, **environment})
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise ScriptError(f"the client ended with exit code {child.returncode}")
        return usage.ru_utime + usage.ru_stime

    def measure(self, way):
        """Microseconds a row, and what differs."""
        self.database.execute("TRUNCATE TABLE cost_metrics_ts SYNC")
        if way == OWN:
            seconds = self.own(self.batches) - self.own(0)
        else:
            host = ["127.0.0.1", str(self.server.port), str(self.server.tcp_port), DATABASE, "cost_metrics_ts", str(self.batches)]
            done = subprocess.run([self.python, INSERTS, PYTHON_WAYS[way], *host], stdout=subprocess.PIPE, text=True, check=False)
            if done.returncode != 0:
                raise ScriptError(f"{way}: exit code {done.returncode}, see above")
            seconds = json.loads(done.stdout)["cpu_seconds"]
        found = self.database.rows("SELECT count(), uniqExact(customer_id), round(sum(cost_per_hour)) FROM cost_metrics_ts")[0]
        return seconds * 1e6 / self.rows, [str(value) for value in found]


def study(arguments, binary, say):
    """(report, differences)"""
    # Else a study that is told to end would leave its server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    python, client = python_with_clients(say), build_client(say)
    folder = Path(tempfile.mkdtemp(prefix="client-costs-"))
    server = OwnServer(folder / "server")
    ways = [OWN, *(PYTHON_WAYS if python else ())]
    measured, differences, expected = {way: [] for way in ways}, [], None
    try:
        server.start()
        one = Study(binary, client, python, server, arguments.rows)
        one.prepare()
        for number in range(arguments.rounds):
            for way in ways[number % len(ways) :] + ways[: number % len(ways)]:
                cost, found = one.measure(way)
                expected = expected or found
                measured[way].append(cost)
                say(f"round {number + 1}: {way:34} {cost:7.3f} µs a row")
                if found != expected or int(found[0]) != one.rows:
                    differences.append(f"{way}, round {number + 1}: rows, customers and cost are {found}, not {expected}")
        version = one.database.value("SELECT version()")
    finally:
        server.stop()
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    ratios = {f"{way} / {OWN}": spread([theirs / own for theirs, own in zip(measured[way], measured[OWN])]) for way in ways[1:]}
    variants = {way: {"label": way, "rows": one.rows, "client_cpu_microseconds_per_row": spread(costs)} for way, costs in measured.items()}
    packages = list(PACKAGES) if python else None
    return {"batch_rows": BATCH_ROWS, "packages": packages, "variants": variants, "ratios": ratios, "clickhouse": version}, differences


def table(report):
    lines = [f"{'':36}{'client CPU, µs a row':>22}{'(spread)':>16}"]
    for one in report["variants"].values():
        cost = one["client_cpu_microseconds_per_row"]
        lines.append(f"{one['label']:36}{cost['median']:22.3f}{cost['low']:10.3f}–{cost['high']:<5.3f}")
    if report["packages"] is None:
        lines.append("\nSKIPPED: the Python clients could not be installed")
    lines.append("")
    lines += ratio_lines(report["ratios"], width=48, digits=1)
    return "\n".join(lines)
