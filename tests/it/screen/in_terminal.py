"""Runs a command in a terminal of its own and copies what it writes there to standard output.

    in_terminal.py COLUMNS ROWS COMMAND [ARGUMENT …]

Exits with the command's exit code. The command gets the terminal as all three of its standard streams.
"""

import fcntl
import os
import pty
import signal
import struct
import sys
import termios

columns, rows = int(sys.argv[1]), int(sys.argv[2])
child, terminal = pty.fork()
if child == 0:
    # The parent's size comes too late for a quick command.
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.execv(sys.argv[3], sys.argv[3:])
# A test that gives up ends this process, and the command with it.
signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))
while True:
    try:
        written = os.read(terminal, 65536)
    except OSError:
        break  # the command has closed its end
    if not written:
        break
    os.write(1, written)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
