"""One server as a child process: start it, see whether it answers, type at its prompt, end it."""

import os
import pty
import signal
import time
import urllib.error
import urllib.request

from . import parent, program_arguments
from .errors import LauncherError

START_SECONDS = 60
# How long the child gets to end after each of Ctrl-D (the binary: SIGTERM), SIGTERM, SIGKILL.
STOP_SECONDS = (10, 10, 5)
# How long a query that runs at the prompt may keep the next line, or Ctrl-D, waiting.
PROMPT_SECONDS = 10
END_OF_INPUT = b"\x04"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)


class Server:
    """The child process; the launcher handles SIGNALS, the child gets their defaults back."""

    def __init__(self, directory, program, main, port):
        self.directory = directory
        self.program = program
        self.output_path = directory / "output.log"
        self.ports_path = directory / "ports"
        for old in (self.ports_path, self.output_path):  # else the words of an earlier server are taken for this one's
            old.unlink(missing_ok=True)
        self.http_port, self.tcp_port = program_arguments.ports(program, port)
        arguments = program_arguments.arguments(program, directory, main, self.http_port, self.tcp_port)
        self.status = None
        # Without a terminal on its standard input, `clickhouse local` dies of any uncaught exception of a native
        # connection, such as a wrong password. Ctrl-D on that terminal is also its cleanest end.
        self.terminal, self.slave = pty.openpty()
        os.set_blocking(self.terminal, False)
        launcher = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            self.become_server(arguments, launcher)
        os.close(self.slave)

    def become_server(self, arguments, launcher):
        """In the child; never returns."""
        try:
            parent.signal_when_parent_dies(signal.SIGKILL)
            if os.getppid() != launcher:
                os._exit(1)
            signal.set_wakeup_fd(-1)
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            os.setsid()  # Ctrl-C in the launcher's terminal is the launcher's to handle
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            output = os.open(self.output_path, flags, 0o644)
            os.dup2(self.slave, 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.chdir(self.directory)
            program_arguments.run(self.program, arguments)
        except BaseException as error:  # nothing may unwind into the launcher's code
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)

    def wait_until_it_answers(self, told_to_end):
        """False if told to end first. Raises with the server's output if it does not start."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.drain()
            if self.has_ended():
                raise LauncherError(f"the server did not start: {self.reason()}\n{self.output()}")
            if self.program.kind == "library" and not self.knows_ports():
                if "DB::Exception" in program_arguments.readable_output(self.output_path):
                    raise LauncherError(f"the server did not start: {self.reason()}\n{self.output()}")
            elif self.answers():
                return True
            if told_to_end(self, timeout=0.02):
                return False
        raise LauncherError(f"the server did not answer within {START_SECONDS} s\n{self.output()}")

    def knows_ports(self):
        try:
            ports = self.ports_path.read_text()
        except FileNotFoundError:
            return False
        if not ports.endswith("\n"):
            return False
        self.http_port, self.tcp_port = (int(port) for port in ports.split())
        return True

    def answers(self):
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(f"http://127.0.0.1:{self.http_port}/ping", timeout=5) as response:
                answered = response.read() == b"Ok.\n"
        except (urllib.error.URLError, OSError):
            return False
        # Somebody else may have taken the port that was chosen for the binary: then ours has ended, or soon will.
        return answered and (self.program.kind == "library" or parent.listens(self.pid, self.http_port))

    def at_prompt(self):
        """Whether the library reads a line from its terminal. What is typed while it runs a query is lost."""
        return program_arguments.ends_at_prompt(self.output_path)

    def type(self, typed):
        """Gives a line to the library's own prompt, which takes SQL even while no listener is open."""
        if self.program.kind != "library":
            return
        deadline = time.monotonic() + PROMPT_SECONDS
        while not self.at_prompt() and not self.has_ended() and time.monotonic() < deadline:
            self.drain()
            time.sleep(0.005)
        os.write(self.terminal, typed.replace(b"\n", b"\r"))

    def drain(self):
        """Reads what the server draws on its terminal, which blocks once nobody does."""
        try:
            while os.read(self.terminal, 65536):
                pass
        except OSError:
            pass

    def has_ended(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
        return self.status is not None

    def exit_words(self):
        if os.WIFSIGNALED(self.status):
            return f"signal {os.WTERMSIG(self.status)}"
        return f"exit code {os.WEXITSTATUS(self.status)}"

    def stop(self):
        """Ends the server, first the clean way."""
        for step, seconds in enumerate(STOP_SECONDS):
            try:
                if step == 0 and self.program.kind == "library":
                    self.type(END_OF_INPUT)
                elif step < 2:
                    os.kill(self.pid, signal.SIGTERM)
                else:
                    os.kill(self.pid, signal.SIGKILL)
            except OSError:
                pass
            if self.wait(seconds):
                return

    def wait(self, seconds):
        deadline = time.monotonic() + seconds
        while not self.has_ended():
            if time.monotonic() > deadline:
                return False
            self.drain()
            time.sleep(0.005)
        return True

    def kill(self):
        """Ends the server at once, if it has not ended."""
        if not self.has_ended():
            os.kill(self.pid, signal.SIGKILL)
            self.wait(STOP_SECONDS[2])
        if self.terminal is not None:
            os.close(self.terminal)
            self.terminal = None

    def output(self):
        """What the server's process printed last; its own log only if it printed nothing."""
        for path in (self.output_path, self.directory / "server.log"):
            words = program_arguments.readable_output(path)
            if words:
                return f"--- {path} ---\n{words}"
        return f"(nothing in {self.output_path})"

    def reason(self):
        """The server's own first words about what went wrong, for the first line of a message."""
        for line in program_arguments.readable_output(self.output_path).splitlines():
            if "DB::Exception" in line:
                return line.strip()
        return self.exit_words() if self.status is not None else "no reason given"
