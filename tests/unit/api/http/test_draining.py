"""SIGTERM: not ready first, then a pause in which all is answered, then no new connection; what runs is finished."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import DOCUMENTS, parts_over
from tests.wire_service import Wire, head
from winnow.api.http.app import create_app
from winnow.api.http.connections import Connections
from winnow.api.http.server import ACCEPTED_AT_ONCE, BACKLOG, Server
from winnow.retrieval.model.tokenizer import PlainTokenizer

DRAIN_SECONDS = 1
LONGER_SECONDS = 4  # a few requests are answered within this time on any machine


class Service:
    """Answers "ready" or "stopping"; /slow only when it is let go, and so long nothing at all after /busy."""

    def __init__(self) -> None:
        self.state = b"ready"
        self.asked_slowly, self.may_go_on = threading.Event(), threading.Event()

    def stop(self) -> None:
        self.state = b"stopping"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for each in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{each}.complete"})
            return
        if scope["path"] == "/slow":
            self.asked_slowly.set()
            await asyncio.to_thread(self.may_go_on.wait, 10)
        if scope["path"] == "/busy":
            self.asked_slowly.set()
            self.may_go_on.wait(250)  # the event loop, too
        body = self.state
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def running(service: Service, *, drain_seconds: int = DRAIN_SECONDS) -> Iterator[tuple[Server, int, threading.Thread]]:
    bound = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    port = bound.getsockname()[1]
    server = Server(service, connections=Connections(), drain_seconds=drain_seconds, stopping=service.stop)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield server, port, thread
    finally:
        service.may_go_on.set()
        server.should_exit = True
        thread.join()


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except ConnectionRefusedError:
        return True
    return False


def test_requests_are_answered_until_the_port_closes(caplog: pytest.LogCaptureFixture) -> None:
    """Old connections and new ones; each answer tells the balancer to leave the connection."""
    service = Service()
    with running(service, drain_seconds=LONGER_SECONDS) as (server, port, thread):
        kept = Wire(port, head("GET", "/"))
        status, headers, body = kept.answer()
        assert (status, headers.get("connection"), body) == (200, None, b"ready")
        server.handle_exit(signal.SIGTERM, None)
        began = time.monotonic()
        kept.send(head("GET", "/"))
        for wire in (kept, Wire(port, head("GET", "/"))):
            status, headers, body = wire.answer()
            assert (status, headers.get("connection"), body) == (200, "close", b"stopping")
            assert wire.is_closed()
        assert not is_refused(port)
        thread.join()
        assert time.monotonic() - began > LONGER_SECONDS
        assert is_refused(port)
    assert f"after {LONGER_SECONDS} s of draining" in caplog.text


def test_a_request_in_progress_is_finished() -> None:
    """Although it lasts longer than the pause."""
    service = Service()
    with running(service) as (server, port, thread):
        slow = Wire(port, head("GET", "/slow"))
        assert service.asked_slowly.wait(10)
        server.handle_exit(signal.SIGTERM, None)
        while not is_refused(port):
            time.sleep(0.02)
        assert thread.is_alive()
        service.may_go_on.set()
        assert slow.answer()[0] == 200
        thread.join(10)
        assert not thread.is_alive()


def test_connections_that_wait_when_the_port_closes_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has taken them, and a balancer has sent its requests; the process was too busy to accept them."""
    monkeypatch.setattr("winnow.api.http.server.SETTLE_SECONDS", 3.0)  # on a machine that is busy with other things
    service = Service()
    with running(service) as (server, port, thread):
        server.handle_exit(signal.SIGTERM, None)
        busy = Wire(port, head("GET", "/busy"))
        assert service.asked_slowly.wait(250)
        time.sleep(DRAIN_SECONDS)
        waiting = [Wire(port, head("GET", "/")) for _ in range(6 * ACCEPTED_AT_ONCE)]
        service.may_go_on.set()
        assert [wire.answer()[0] for wire in (busy, *waiting)] == [200] * (1 + len(waiting))
        thread.join()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_skips_the_pause(second: signal.Signals) -> None:
    with running(Service(), drain_seconds=60) as (server, _port, thread):
        server.handle_exit(signal.SIGTERM, None)
        server.handle_exit(second, None)
        thread.join(10)
        assert not thread.is_alive()


def test_ctrl_c_does_not_pause() -> None:
    service = Service()
    with running(service, drain_seconds=60) as (server, _port, thread):
        server.handle_exit(signal.SIGINT, None)
        thread.join(10)
        assert not thread.is_alive()
        assert service.state == b"stopping"


def test_a_service_that_stops_is_not_ready_and_still_answers(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    app = create_app(parts_over(tmp_path, tokenizer, PrefersWord("refund")))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        client.post("/v1/collections", json={"name": "docs"}).raise_for_status()
        client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS}).raise_for_status()
        before = set(client.get("/readyz").json()["problems"])
        app.state.readiness.stop()
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
        assert set(ready.json()["problems"]) - before == {"the service is stopping"}
        assert client.post("/v1/search", json={"query": "refund", "collection": "docs"}).status_code == 200
