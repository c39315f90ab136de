"""What a server process costs while something runs: CPU seconds and memory, from /proc and system.processes."""

import os
import socket
import threading
import time
import urllib.parse
from pathlib import Path

from .database import Database
from .errors import ScriptError

TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.05


def listening_process(url):
    """The id of the process on this machine that listens at the URL's port."""
    parts = urllib.parse.urlsplit(url)
    port = parts.port or 8123
    try:
        address = socket.gethostbyname(parts.hostname or "127.0.0.1")
    except OSError as error:
        raise ScriptError(f"unknown host {parts.hostname}: {error}") from None
    if not address.startswith("127."):
        raise ScriptError("the benchmark reads the server's CPU time from /proc: the server must run on this machine")
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except FileNotFoundError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    # A launcher may have inherited the socket: the server is the process that has used the most CPU time.
    owners = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if holds(pid, inodes)]
    if not owners:
        raise ScriptError(f"found no process that listens at port {port}, or may not look at it")
    return max(owners, key=cpu_seconds)


def holds(pid, inodes):
    try:
        folder = f"/proc/{pid}/fd"
        return any(os.readlink(f"{folder}/{name}") in inodes for name in os.listdir(folder))
    except OSError:
        return False


def cpu_seconds(pid):
    """User and system time of the process and its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_peak(pid):
    """The greatest resident memory since reset_resident_peak, in bytes; 0 where /proc does not tell."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def reset_resident_peak(pid):
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        pass  # then the peak is that of the process's life, and the memory of queries is still right


class Meter:
    """Use as a context manager around the work. Times in seconds, memory in bytes."""

    def __init__(self, database, pid):
        self.database = database
        self.pid = pid
        self.query_memory = 0
        self.stop = threading.Event()
        self.failure = None

    def __enter__(self):
        reset_resident_peak(self.pid)
        self.sampler = threading.Thread(target=self.sample, daemon=True)
        self.sampler.start()
        self.cpu_before = cpu_seconds(self.pid)
        self.started = time.monotonic()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self.started
        self.server_cpu = cpu_seconds(self.pid) - self.cpu_before
        self.stop.set()
        self.sampler.join()
        self.server_resident = resident_peak(self.pid)
        if self.failure:
            raise self.failure

    def sample(self):
        """What all queries of this database together hold, every few milliseconds: a run has many at once, a join has one."""
        watcher = Database(self.database.url, "default")
        sql = (
            "SELECT sum(memory_usage) FROM system.processes "
            f"WHERE current_database = '{self.database.name}' AND query_id != queryID()"
        )
        while not self.stop.wait(SAMPLE_SECONDS):
            try:
                self.query_memory = max(self.query_memory, int(watcher.value(sql)))
            except ScriptError as error:
                # A server whose memory is used up answers the next sample.
                if "MEMORY_LIMIT_EXCEEDED" not in str(error):
                    self.failure = error
                    return


def machine():
    """What a reader must know of the machine to judge the figures."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "memory_bytes": memory}
