"""A server on loopback that answers as a test scripts it, also as no proper server would; and both clients in turn."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from winnow_client import AsyncClient, Client

SILENT_SECONDS_MAX = 10  # a test that waits longer has failed


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer. `body` is JSON, or bytes as they are."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "application/json"
    cut_at: int | None = None  # so many bytes of the body, then the connection ends; -1: before the answer
    drip_seconds: float = 0.0  # before each byte of the body
    is_silent: bool = False  # nothing, until the client has gone


def problem(status: int, code: str, **more: Any) -> dict[str, Any]:
    """As the service writes it."""
    error = {"message": f"{code}.", "type": "server_error", "param": None, "code": code}
    return {"status": status, "detail": f"{code}.", "message": f"{code}.", "error": error, "id": "r1", **more}


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float


@dataclass
class Server:
    """What it was asked, and over how many connections."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0

    def bodies(self) -> list[Any]:
        return [json.loads(each.body) for each in self.asked]


@contextmanager
def answering(*replies: Reply | Callable[[Asked], Reply]) -> Iterator[Server]:
    """Answers in this order; the last one for all that follow."""
    waiting = list(replies)
    lock = threading.Lock()
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            server.connections += 1

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            asked = Asked(self.command, self.path, dict(self.headers), body, time.monotonic())
            with lock:
                server.asked.append(asked)
                reply = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            self._write(reply if isinstance(reply, Reply) else reply(asked))

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

        def _write(self, reply: Reply) -> None:
            if reply.is_silent:
                ended.wait(SILENT_SECONDS_MAX)
            if reply.is_silent or reply.cut_at == -1:
                self.close_connection = True
                return
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"content-type": reply.kind, "content-length": str(len(body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            for byte in (body[place : place + 1] for place in range(len(body))) if reply.drip_seconds else [body]:
                if ended.wait(reply.drip_seconds):
                    return
                self.wfile.write(byte[: reply.cut_at])
            self.close_connection = reply.cut_at is not None

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = Server(f"http://127.0.0.1:{http.server_address[1]}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        ended.set()
        http.shutdown()
        thread.join()
        http.server_close()


Ask = Callable[..., Any]


def ask_with(kind: str) -> Ask:
    """Return a function that opens a client of this kind, does the work with it, and closes it."""

    def ask_sync(url: str, work: Callable[[Any], Any], **options: Any) -> Any:
        with Client(url, **options) as client:
            return work(client)

    def ask_async(url: str, work: Callable[[Any], Any], **options: Any) -> Any:
        async def ask() -> Any:
            async with AsyncClient(url, **options) as client:
                return await work(client)

        return asyncio.run(ask())

    return ask_sync if kind == "sync" else ask_async
