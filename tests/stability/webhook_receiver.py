"""A receiver of webhooks on loopback: it answers as it is told, and remembers what came."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Received:
    """One message, as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers["Idempotency-Key"]

    @property
    def message(self) -> Any:
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        """Verified as docs/how-to/stability.md shows it, without any code of winnow."""
        parts = [part.split("=", 1) for part in self.headers["Winnow-Signature"].split(",")]
        moment = dict(parts)["t"].encode()
        wanted = hmac.new(secret.encode(), moment + b"." + self.body, hashlib.sha256).hexdigest()
        return any(name == "v1" and hmac.compare_digest(wanted, digest) for name, digest in parts)


@dataclass(slots=True)
class Receiver:
    """Answers with the `statuses` in turn, then with 200."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    location: str = ""  # of redirects
    hold: threading.Event | None = None  # answers come once it is set
    received: list[Received] = field(default_factory=list)

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    @property
    def keys(self) -> list[str]:
        return [each.key for each in self.received]

    @contextlib.contextmanager
    def listening(self) -> Iterator[Receiver]:
        """Listen on the port, or on a free one the first time."""

        class Handler(BaseHTTPRequestHandler):
            receiver = self

            def do_POST(self) -> None:
                receiver = self.receiver
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append(Received(self.path, dict(self.headers), body))
                if receiver.hold is not None:
                    receiver.hold.wait(20)
                with contextlib.suppress(OSError):  # the sender may have given up
                    self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                    if receiver.location:
                        self.send_header("Location", receiver.location)
                    self.end_headers()
                    self.wfile.write(b"x" * 1_000_000)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (likewise)
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """A sender that leaves is no error of the receiver."""

        server = Server(("127.0.0.1", self.port), Handler)
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            if self.hold is not None:
                self.hold.set()
            server.shutdown()
            server.server_close()
            thread.join()
