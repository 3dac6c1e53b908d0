"""An S3 server's address that holds one request on the wire, among those that change something, until it is let go.

Requests are forwarded as they came, so their signatures stay valid.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import urlsplit

CHANGING: Final = frozenset({"PUT", "POST", "DELETE"})
IN_A_ROW_MAX: Final = 2  # requests of one method to one folder that count, such as those that remove many files
HELD_SECONDS_MAX: Final = 120.0


class Wire:
    """What passes, and what is held."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.url = ""
        self.is_held = threading.Event()
        self.is_done = threading.Event()  # the held request was answered
        self.seen: list[str] = []  # methods and paths of all requests
        self.held = ""  # its method and path
        self._at = 0
        self._passed = 0
        self._kind, self._in_a_row = "", 0
        self._is_silent = False
        self._let_go = threading.Event()
        self._lock = threading.Lock()

    @property
    def passed(self) -> int:
        """The changing requests since `hold`."""
        return self._passed

    def hold(self, at: int, *, is_silent: bool = False) -> None:
        """Hold the changing request of this number from now on, counted from 1; 0 holds none.

        `is_silent` holds all requests that come after it as well.
        """
        self._at, self._passed, self.held, self._is_silent = at, 0, "", is_silent
        self._kind, self._in_a_row = "", 0
        for event in (self.is_held, self.is_done, self._let_go):
            event.clear()

    def let_go(self) -> None:
        """Forward the held request, and return once it was answered."""
        self._let_go.set()
        assert self.is_done.wait(HELD_SECONDS_MAX)

    def passing(self, method: str, path: str) -> bool:
        """Wait if this is the request to hold; return whether it was."""
        self.seen.append(f"{method} {path}")
        if self._is_silent and self.held:
            self._let_go.wait(HELD_SECONDS_MAX)
            return False
        if method not in CHANGING:
            return False
        with self._lock:
            kind = f"{method} {path.partition('?')[0].rpartition('/')[0]}"
            self._kind, self._in_a_row = kind, self._in_a_row + 1 if kind == self._kind else 1
            if self._in_a_row > IN_A_ROW_MAX:
                return False
            self._passed += 1
            if self._passed != self._at:
                return False
            self.held = f"{method} {path.partition('?')[0].rpartition('corpus.lance/')[2] or path}"
        self.is_held.set()
        self._let_go.wait(HELD_SECONDS_MAX)
        return True


@contextmanager
def held_on_the_wire(upstream: str) -> Iterator[Wire]:
    """Listen on loopback, and forward to `upstream`, an http URL."""
    wire = Wire(upstream)

    class Forwarding(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            was_held = wire.passing(self.command, self.path)
            connection = http.client.HTTPConnection(wire.upstream, timeout=HELD_SECONDS_MAX)
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            if was_held:
                wire.is_done.set()
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                    self.send_header(name, value)
            size = answer.getheader("content-length") if self.command == "HEAD" else str(len(content))
            self.send_header("content-length", size or "0")
            try:
                self.end_headers()
                self.wfile.write(content)
            except ConnectionError:  # the caller has given up
                self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward  # noqa: N815  the names that the class above calls

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  the name of the class above
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Forwarding)
    server.daemon_threads = True
    wire.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield wire
    finally:
        server.shutdown()
        server.server_close()
