"""How the binary and the library are called, and what they print.

The library serves through `clickhouse local --interactive`, whose first query opens the listeners. Port 0 works there,
and the query writes the real ports to the file `ports`.
"""

import ctypes
import os
import re
import socket

OPEN_LISTENERS = (
    "SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; "
    "SELECT getServerPort('http_port'), getServerPort('tcp_port') INTO OUTFILE 'ports' FORMAT TSV"
)
# The line editor announces with these that it begins and ends to read a line; the prompt follows the first.
READING_BEGINS, READING_ENDS, PROMPT = b"\x1b[?2004h", b"\x1b[?2004l", b":)"
OUTPUT_BYTES = 4 * 1024
ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def ports(program, http_port):
    """The HTTP and native ports to ask for; 0 is left to the library, and chosen here for the binary."""
    if program.kind == "library":
        return http_port, 0
    chosen = []
    held = []
    for wanted in (http_port, 0):
        if wanted == 0:
            listener = socket.socket()
            listener.bind(("127.0.0.1", 0))
            held.append(listener)
            wanted = listener.getsockname()[1]
        chosen.append(wanted)
    for listener in held:
        listener.close()
    return chosen


def arguments(program, directory, main, http_port, tcp_port):
    if program.kind == "binary":
        # The server takes further configuration keys after the double dash.
        return [
            str(program.path),
            "server",
            f"--config-file={main}",
            "--",
            f"--http_port={http_port}",
            f"--tcp_port={tcp_port}",
        ]
    return [
        "clickhouse",
        "--interactive",
        "--disable_suggestion",
        "--highlight=0",
        "--history_file=/dev/null",
        "--chime=0",
        "--format=TSV",
        f"--config-file={main}",
        f"--path={directory / 'data'}",
        "--listen_host=127.0.0.1",
        f"--http_port={http_port}",
        f"--tcp_port={tcp_port}",
        "--log-level=information",  # the level in the configuration file is not heeded
        f"--query={OPEN_LISTENERS}",
    ]


def run(program, arguments):
    """Turns this process into the server; returns only if that fails."""
    for name in [name for name in os.environ if name.startswith("CLICKHOUSE_")]:
        del os.environ[name]  # CLICKHOUSE_USER and the like are meant for clients, and `clickhouse local` is one
    if program.kind == "binary":
        os.environ["CLICKHOUSE_WATCHDOG_ENABLE"] = "0"  # the watchdog's child would outlive a killed launcher
        os.execv(program.path, arguments)
    library = ctypes.CDLL(str(program.path))
    encoded = [os.fsencode(argument) for argument in arguments]
    os._exit(library.chdb_query_cmdline(len(encoded), (ctypes.c_char_p * (len(encoded) + 1))(*encoded, None)) & 0xFF)


def ends_at_prompt(path):
    """Whether the library's output shows that it reads a line now."""
    _, begins, reading = last_bytes(path).rpartition(READING_BEGINS)
    return bool(begins) and PROMPT in reading and READING_ENDS not in reading


def readable_output(path):
    """The end of a log as text, without the terminal's escape sequences."""
    return ESCAPE_SEQUENCE.sub("", last_bytes(path).decode(errors="replace")).strip()


def last_bytes(path):
    try:
        with open(path, "rb") as log:
            log.seek(max(0, os.path.getsize(path) - OUTPUT_BYTES))
            return log.read()
    except FileNotFoundError:
        return b""
