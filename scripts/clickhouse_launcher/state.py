"""What a running server's launcher tells other processes, in the server's folder.

`lock`   is locked for as long as the launcher or its server lives, whatever ends them
`state`  is written once the server answers: url, http_port, tcp_port, server_pid, launcher_pid, one `key=value` a line
"""

import fcntl
import os
import signal
import time

from .errors import LauncherError

STOP_SECONDS = 30


def lock_path(directory):
    return directory / "lock"


def state_path(directory):
    return directory / "state"


def take_lock(directory):
    """The open lock file; the child process that inherits it holds the lock as well."""
    lock = open(lock_path(directory), "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise LauncherError(f"a server already runs in {directory}") from None
    return lock


def is_locked(directory):
    try:
        with open(lock_path(directory)) as lock:
            # A shared lock, so that two processes that look at once do not see each other.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False


def write(path, values):
    temporary = path.with_name(path.name + ".new")
    temporary.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
    os.replace(temporary, path)


def read(directory):
    """The state of the server that runs in the folder, or None."""
    try:
        lines = state_path(directory).read_text().splitlines()
    except FileNotFoundError:
        return None
    if not is_locked(directory):
        return None
    return dict(line.split("=", 1) for line in lines)


def stop(directory):
    """Ends the server that runs in the folder. False if there is none."""
    running = read(directory)
    if not running:
        return False
    launcher = int(running["launcher_pid"])
    # The launcher ends its server with increasing force; were the launcher itself stuck, its death takes the server with it.
    for how, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, 5)):
        try:
            os.kill(launcher, how)
        except ProcessLookupError:
            pass
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not is_locked(directory):
                return True
            time.sleep(0.01)
    raise LauncherError(f"process {running['server_pid']} does not end")
