"""A TCP proxy on loopback whose connections can be reset, that answers in the server's place or forwards slowly, and that counts the bytes
that pass."""

import socket
import struct
import threading
import time

BUFFER_BYTES = 256 * 1024
# Closing such a socket sends RST instead of FIN.
NO_LINGER = struct.pack("ii", 1, 0)


class Proxy:
    """Runs until closed, in threads of its own."""

    def __init__(self, upstream_port):
        self.upstream_port = upstream_port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.pairs = set()
        self.bytes = 0
        self.answer = None  # what new connections get instead of the server
        self.pause_seconds = 0.0  # before each piece that goes to the server
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # closed
            if self.answer:
                threading.Thread(target=answer, args=(client, self.answer), daemon=True).start()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.upstream_port))
            except OSError:
                reset(client)
                continue
            pair = (client, server)
            with self.lock:
                self.pairs.add(pair)
            for one, other in (pair, pair[::-1]):
                try:
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                except OSError:
                    pass  # reset meanwhile: forwarding ends at once
                threading.Thread(target=self.forward, args=(pair, one, other), daemon=True).start()

    def forward(self, pair, source, target):
        try:
            while data := source.recv(BUFFER_BYTES):
                if source is pair[0] and self.pause_seconds:
                    time.sleep(self.pause_seconds)
                target.sendall(data)
                with self.lock:
                    self.bytes += len(data)
            target.shutdown(socket.SHUT_WR)
            # The other direction may still have something to say; its end closes both.
            if source is pair[0]:
                return
        except OSError:
            pass
        self.end(pair)

    def end(self, pair):
        with self.lock:
            known = pair in self.pairs
            self.pairs.discard(pair)
        if known:
            for one in pair:
                try:
                    one.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it
                except OSError:
                    pass
                one.close()

    def reset_all(self):
        """Resets every live connection, at both ends. How many there were."""
        with self.lock:
            pairs, self.pairs = self.pairs, set()
        for pair in pairs:
            for one in pair:
                reset(one)
        return len(pairs)

    def close(self):
        self.listener.close()
        self.reset_all()


def reset(one):
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        one.shutdown(socket.SHUT_RD)
    except OSError:
        pass
    one.close()


def answer(client, response):
    """Reads what comes at once, and answers as a gateway does that knows nothing of ClickHouse."""
    try:
        client.settimeout(1)
        client.recv(BUFFER_BYTES)
        client.sendall(response)
        client.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    client.close()
