"""Runs a command in a terminal of its own and copies what it writes there to standard output.

    in_terminal.py COLUMNS ROWS COMMAND [ARGUMENT …]

A line `> TEXT` on standard input is typed. A line `COLUMNS ROWS` resizes the terminal. Where that happens in the output, the sequence `ESC [ 8 ; ROWS ; COLUMNS t` stands
in it; the command learns it a moment later, as it does in tmux. Exits with the command's exit code. The command gets the terminal as all three
of its standard streams.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time


def resize(terminal, columns, rows):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


child, terminal = pty.fork()
if child == 0:
    # The parent's size comes too late for a quick command.
    resize(0, int(sys.argv[1]), int(sys.argv[2]))
    os.execv(sys.argv[3], sys.argv[3:])
# A test that gives up ends this process, and the command with it.
signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))
sources = [terminal, 0]
resizing = None  # when, and to what
while True:
    ready, _, _ = select.select(sources, [], [], 0.05 if resizing else None)
    if resizing and time.monotonic() >= resizing[0]:
        resize(terminal, *resizing[1])
        resizing = None
    if terminal in ready:
        # What was written before a change of size comes before it.
        try:
            written = os.read(terminal, 65536)
        except OSError:
            break  # the command has closed its end
        if not written:
            break
        os.write(1, written)
    elif 0 in ready:
        line = sys.stdin.buffer.raw.readline()
        if line.startswith(b"> "):
            os.write(terminal, line[2:])
        elif line:
            columns, rows = map(int, line.split())
            os.write(1, b"\x1b[8;%d;%dt" % (rows, columns))
            resizing = time.monotonic() + 0.3, (columns, rows)
        else:
            sources.remove(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
