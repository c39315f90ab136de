"""A server of a script's own, which the script may kill and start again on the same folder and port. It dies with the script."""

import os
import signal
import socket
import subprocess
import sys

from .errors import ScriptError
from .server import LAUNCHER


class OwnServer:
    def __init__(self, directory):
        self.directory = directory
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.tcp_port = None
        self.launcher = None
        self.process = None

    def start(self, config=None):
        """`config`: a file of settings that are added to the server's."""
        command = [sys.executable, LAUNCHER, "serve", "--dir", self.directory, "--port", str(self.port)]
        if config:
            command += ["--config", config]
        errors = open(self.directory.with_name("serve.log"), "ab")
        with errors:
            self.launcher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        words = dict(word.split("=", 1) for word in self.launcher.stdout.readline().split() if "=" in word)
        if "server_pid" not in words:
            self.launcher.wait()
            raise ScriptError(f"the server did not start: see {errors.name}")
        self.process = int(words["server_pid"])
        self.tcp_port = int(words["tcp_port"])

    def kill(self):
        """kill -9, and waits until it is gone."""
        os.kill(self.process, signal.SIGKILL)
        self.launcher.stdin.close()
        self.launcher.wait()
        self.launcher.stdout.close()

    def pause(self):
        os.kill(self.process, signal.SIGSTOP)

    def resume(self):
        os.kill(self.process, signal.SIGCONT)

    def stop(self):
        if self.launcher and self.launcher.poll() is None:
            self.launcher.stdin.close()
            self.launcher.wait()
            self.launcher.stdout.close()
