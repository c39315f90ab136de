"""What this system can tell about processes: that a parent or an owner has ended, and who listens on a port."""

import ctypes
import os
import sys
import threading
import time

PR_SET_PDEATHSIG = 1
TCP_LISTEN = "0A"


def signal_when_parent_dies(number):
    """Asks the kernel for a signal when the parent ends. Linux only: elsewhere, standard input closing is what tells.

    The kernel means the parent's *thread*: a caller that survives it must look at getppid(), and so must one whose
    parent may have ended before this call.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def end_of(pid):
    """A file descriptor that becomes readable when the process, which need not be a child, ends."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        readable, writable = os.pipe()
        os.close(writable)
        return readable
    except (AttributeError, OSError):  # not Linux, or an old one
        readable, writable = os.pipe()
        threading.Thread(target=_close_when_gone, args=(pid, writable), daemon=True).start()
        return readable


def _close_when_gone(pid, writable):
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            os.close(writable)
            return
        time.sleep(0.5)


def listens(pid, port):
    """Whether the process has a listening TCP socket on the port of 127.0.0.1; true where that cannot be seen."""
    if sys.platform != "linux":
        return True
    inodes = set()
    with open("/proc/net/tcp") as table:
        for line in table.readlines()[1:]:
            fields = line.split()
            if fields[3] == TCP_LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    folder = f"/proc/{pid}/fd"
    try:
        for descriptor in os.listdir(folder):
            try:
                if os.readlink(f"{folder}/{descriptor}") in inodes:
                    return True
            except FileNotFoundError:
                continue
    except FileNotFoundError:
        pass
    return False
