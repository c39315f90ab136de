"""The clickhouse-backfill binary: building it, running it, what it says of its run."""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from clickhouse_launcher.client import split_credentials

from .errors import ScriptError

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "clickhouse-backfill"

# A user's own settings for real work must not steer a demonstration or a measurement. The document of all variables has each on a line of its own.
OWN_VARIABLES = re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), flags=re.MULTILINE)


def build(profile="release"):
    """Builds the binary in a profile of Cargo.toml and returns its path."""
    try:
        built = subprocess.run(["cargo", "build", "--profile", profile, "--locked", "--bin", NAME], cwd=ROOT, check=False)
    except FileNotFoundError:
        raise ScriptError("cargo is not installed: https://rustup.rs") from None
    if built.returncode != 0:
        raise ScriptError("cargo build failed, see above")
    target = Path(os.environ.get("CARGO_TARGET_DIR") or "target")
    return (ROOT / target / profile / NAME).resolve()


def version(path):
    return subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.strip()


class Run:
    """One finished run: its summary, its wall seconds, its CPU seconds, its greatest resident memory in bytes."""

    def __init__(self, summary, seconds, usage):
        self.summary = summary
        self.seconds = seconds
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self.peak_memory = usage.ru_maxrss * 1024


def run(path, database, partition, *flags, quiet=False):
    """Runs the built-in job. Raises if the exit code is not 0 or the summary is not that of a completed run."""
    with tempfile.TemporaryDirectory(prefix="clickhouse-backfill-") as folder:
        summary_path = Path(folder) / "summary.json"
        url, user, password = split_credentials(database.url)
        command = [str(path), "run", "--clickhouse-url", url, "--clickhouse-db", database.name]
        # From the beginning, whatever is recorded of runs before.
        command += ["--partition", partition, "--restart", "--summary-json", str(summary_path), *flags]
        environment = {name: value for name, value in os.environ.items() if name not in OWN_VARIABLES}
        # Credentials of the URL go by the environment: a command line is for everyone to see.
        for name, value in (("CLICKHOUSE_USER", user), ("CLICKHOUSE_PASSWORD", password)):
            if value:
                environment[name] = value
        output = subprocess.PIPE if quiet else None
        started = time.monotonic()
        # In a folder without a .env file.
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT if quiet else None)
        try:
            said = child.stdout.read().decode(errors="replace") if quiet else ""
            _, status, usage = os.wait4(child.pid, 0)
        except KeyboardInterrupt:
            os.wait4(child.pid, 0)  # the terminal has told it as well, and a second signal would end it at once
            raise
        except SystemExit:
            child.send_signal(signal.SIGTERM)
            os.wait4(child.pid, 0)
            raise
        seconds = time.monotonic() - started
        code = os.waitstatus_to_exitcode(status)
        child.returncode = code
        if code != 0:
            raise ScriptError(f"{said[-4000:]}\n{NAME} run ended with exit code {code}".strip())
        try:
            summary = json.loads(summary_path.read_text())
        except (OSError, ValueError) as error:
            raise ScriptError(f"{NAME} run left no readable summary: {error}") from None
    return Run(summary, seconds, usage)
