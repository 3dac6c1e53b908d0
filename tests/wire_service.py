"""The service behind its own server, on loopback, in a thread; and a client that may send anything."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from winnow.api.http.connections import Connections
from winnow.api.http.server import BACKLOG, Server

ANSWER_SECONDS = 30  # of a machine that is very busy


@contextlib.contextmanager
def listening(app: Any, connections: Connections | None = None) -> Iterator[int]:
    """The port."""
    bound = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    server = Server(app, connections=Connections() if connections is None else connections)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        yield bound.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


class Wire:
    """One connection, byte by byte."""

    def __init__(self, port: int, sent: bytes = b"") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS)
        self._read = bytearray()
        self.send(sent)

    def send(self, sent: bytes) -> None:
        """As far as it is taken: a service that has refused hangs up."""
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(sent)

    def close(self) -> None:
        self._socket.close()

    __del__ = close  # tests let go of many

    def line(self) -> int:
        """The status of the next answer, without its body."""
        return int(self._until(b"\r\n").split(b" ")[1])

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next one: status, headers, body."""
        status, *lines = self._until(b"\r\n\r\n").decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        return int(status.split(" ")[1]), headers, self.read(int(headers.get("content-length", "0")))

    def read(self, length: int) -> bytes:
        while len(self._read) < length:
            self._more()
        body = bytes(self._read[:length])
        del self._read[:length]
        return body

    def is_closed(self) -> bool:
        """Waits for it; what still comes is thrown away."""
        try:
            while self._socket.recv(65_536):
                pass
        except ConnectionError:
            return True
        return True

    def _until(self, end: bytes) -> bytes:
        while end not in self._read:
            self._more()
        found, _, self._read = self._read.partition(end)
        return bytes(found)

    def _more(self) -> None:
        piece = self._socket.recv(65_536)
        if not piece:
            raise EOFError(bytes(self._read))
        self._read += piece


def head(method: str, path: str, *headers: str, key: str = "secret") -> bytes:
    lines = (f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {key}", *headers)
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunked(content: bytes, *, size: int) -> bytes:
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces) + b"0\r\n\r\n"
