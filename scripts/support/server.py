"""A server to work with, by way of scripts/clickhouse."""

import signal
import subprocess
import sys
from pathlib import Path

from .errors import ScriptError

LAUNCHER = Path(__file__).resolve().parent.parent / "clickhouse"
NOT_RUNNING = 3


class Server:
    """Started on entering, stopped on leaving, unless it ran before or `keep` is set."""

    def __init__(self, keep=False):
        self.keep = keep
        self.url = None
        self.started_here = False

    def __enter__(self):
        # Else a script that is told to end would leave its server behind.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        status = subprocess.run([LAUNCHER, "status"], stdout=subprocess.DEVNULL)
        self.started_here = status.returncode == NOT_RUNNING
        started = subprocess.run([LAUNCHER, "start"], stdout=subprocess.PIPE, text=True)
        if started.returncode != 0:
            raise ScriptError("no server: see the message of scripts/clickhouse start above")
        self.url = started.stdout.strip().splitlines()[-1]
        return self

    def __exit__(self, *_):
        if self.started_here and not self.keep:
            subprocess.run([LAUNCHER, "stop"], stdout=sys.stderr, check=False)
