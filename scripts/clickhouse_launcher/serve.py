"""Runs one server as a child process, until told to end.

The child dies with this process, whatever ends it (PR_SET_PDEATHSIG), and this process ends when its standard input
closes or its parent goes away. So a killed test run leaves no server behind. Lines that come on standard input are SQL
for the library's prompt, which is how a test closes the HTTP listener and opens it again.

With an owner it runs in the background instead, ends when that process ends, and then removes its folder: so does the
server that all tests of one run share, which the first of them starts. A server that fails leaves its folder to be looked at.
"""

import os
import select
import shutil
import signal

from . import configuration, parent, state
from .errors import LauncherError
from .library import find_program
from .server import SIGNALS, Server

# Ports taken between choosing one and listening on it: only the binary needs a port chosen for it.
PORT_ATTEMPTS = 5


def serve(directory, port, config, users, ready_file, background, owner, say):
    """Blocks until the server has ended; the exit code to end with."""
    wake = catch_signals()
    owner_ended = parent.end_of(owner) if owner else None
    background = background or owner is not None
    if not background:
        parent.signal_when_parent_dies(signal.SIGUSR1)
    # Were the parent gone by now, standard input would be closed as well.
    original_parent = os.getppid()
    directory.mkdir(parents=True, exist_ok=True)
    lock = state.take_lock(directory)
    os.set_inheritable(lock.fileno(), True)
    for path in (state.state_path(directory), ready_file):
        if path:
            path.unlink(missing_ok=True)
    program = find_program(say)
    main = configuration.write(directory, program, config, users)

    def told_to_end(server, timeout):
        """Why to end, or None. Waits at most `timeout` seconds for something to happen."""
        inputs = [wake] if background else [wake, 0]
        if owner_ended is not None:
            inputs.append(owner_ended)
        ready, _, _ = select.select(inputs, [], [], timeout)
        if wake in ready:
            for number in os.read(wake, 512):
                if number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    return signal.Signals(number).name
        if not background and os.getppid() != original_parent:
            return "the parent process ended"
        if owner_ended in ready:
            return "the owner ended"
        if 0 in ready:
            typed = os.read(0, 4096)
            if not typed:
                return "standard input closed"
            server.type(typed)
        return None

    server = start(directory, program, main, port, told_to_end)
    if server is None:
        return 0
    try:
        values = {
            "url": f"http://127.0.0.1:{server.http_port}",
            "http_port": server.http_port,
            "tcp_port": server.tcp_port,
            "server_pid": server.pid,
            "launcher_pid": os.getpid(),
        }
        state.write(state.state_path(directory), values)
        if ready_file:
            state.write(ready_file, values)
        print("ready " + " ".join(f"{key}={value}" for key, value in values.items()), flush=True)
        while not server.has_ended():
            server.drain()
            if told_to_end(server, timeout=1.0):
                server.stop()
                if owner:
                    shutil.rmtree(directory, ignore_errors=True)
                return 0
        raise LauncherError(f"the server ended by itself ({server.exit_words()})\n{server.output()}")
    finally:
        server.kill()
        for path in (state.state_path(directory), ready_file):
            if path:
                path.unlink(missing_ok=True)


def catch_signals():
    """A file descriptor that becomes readable with each signal that matters, SIGCHLD included."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    return readable


def start(directory, program, main, port, told_to_end):
    """A server that answers; None if told to end before it did."""
    attempts = PORT_ATTEMPTS if port == 0 else 1
    for attempt in range(attempts):
        server = Server(directory, program, main, port)
        try:
            if server.wait_until_it_answers(told_to_end):
                return server
            server.stop()
            return None
        except LauncherError as error:
            server.kill()
            if attempt + 1 == attempts or "Address already in use" not in str(error):
                raise
        except BaseException:
            server.kill()
            raise
    return None
