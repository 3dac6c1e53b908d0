"""The server over real sockets: what callers may leave open, send too much of, or not read."""

from __future__ import annotations

import errno
import json
import logging
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h11
import pytest

from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import DOCUMENTS, parts_over
from tests.wire_service import Wire, chunked, head, listening
from winnow.api.http.app import create_app
from winnow.api.http.connections import Connections
from winnow.api.http.protocol import _PacedParser
from winnow.api.http.request_body import Intake
from winnow.api.http.request_limits import Gate
from winnow.api.http.server import Server, connections_max
from winnow.retrieval.limits import CONNECTIONS_MAX, HEADER_BYTES_MAX, REQUEST_BYTES_MAX, SEARCH_BYTES_MAX
from winnow.retrieval.model.tokenizer import PlainTokenizer

JSON = "Content-Type: application/json"
SEARCH = json.dumps({"query": "refund", "collection": "docs"}).encode()
PROBLEM = "application/problem+json"
MOST = 30  # connections
LONG = 40_000_000  # bytes
KEPT_SECONDS = 5  # uvicorn's, of an idle connection


@dataclass(frozen=True)
class Running:
    port: int
    app: Any

    def ask(self, method: str, path: str, body: bytes = b"", *headers: str) -> tuple[int, dict[str, str], bytes]:
        wire = Wire(self.port, head(method, path, f"Content-Length: {len(body)}", JSON, *headers) + body)
        try:
            return wire.answer()
        finally:
            wire.close()

    def search(self) -> int:
        return self.ask("POST", "/v1/search", SEARCH)[0]


@pytest.fixture
def running(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[Running]:
    app = create_app(parts_over(tmp_path, tokenizer, PrefersWord("refund"), api_key="secret"))
    app.state.intake = Intake(grace_seconds=1.0)
    with listening(app, Connections(MOST, header_seconds=1.0)) as port:
        service = Running(port, app)
        assert service.ask("POST", "/v1/collections", b'{"name": "docs"}')[0] == 201
        documents = json.dumps({"documents": DOCUMENTS}).encode()
        assert service.ask("POST", "/v1/collections/docs/documents", documents)[0] == 200
        yield service


def test_half_a_header_is_refused_in_time_and_shuts_nobody_out(running: Running) -> None:
    """Three times as many as there may be connections."""
    stalled = [Wire(running.port, b"POST /v1/search HTTP/1.1\r\nhos") for _ in range(3 * MOST)]
    assert running.search() == 200
    status, headers, body = stalled[-1].answer()
    assert (status, headers["content-type"]) == (408, PROBLEM)
    assert json.loads(body)["error"]["code"] == "request_slow"
    assert all(each.is_closed() for each in stalled)


def test_a_body_that_stops_holds_no_place(running: Running) -> None:
    """With places for one request, twenty of them; each is told why it was refused."""
    running.app.state.gate = Gate(in_flight_max=1)
    begun = head("POST", "/v1/search", JSON, "Content-Length: 100") + b"{"
    stalled = [Wire(running.port, begun) for _ in range(20)]
    assert running.search() == 200
    for each in stalled:
        status, _, body = each.answer()
        assert (status, json.loads(body)["error"]["code"]) == (408, "request_slow")
        each.close()


def test_bodies_that_are_read_count_among_the_tenants_requests(running: Running) -> None:
    """So its limit of requests at once holds for those too."""
    parts = running.app.state.parts
    parts.quotas._defaults = parts.settings.limits.__class__(concurrent_requests=2)
    begun = head("POST", "/v1/search", JSON, "Content-Length: 100") + b"{"
    stalled = [Wire(running.port, begun) for _ in range(3)]
    assert sorted(each.answer()[0] for each in stalled) == [408, 408, 429]


@pytest.mark.parametrize("length", [f"Content-Length: {SEARCH_BYTES_MAX + 1}", "Transfer-Encoding: chunked"])
def test_a_body_that_is_too_long_is_refused_while_it_comes(running: Running, length: str) -> None:
    """The answer arrives although the caller has not done sending, and then the connection ends."""
    body = b" " * (2 * SEARCH_BYTES_MAX)
    wire = Wire(running.port, head("POST", "/v1/search", JSON, length))
    wire.send(body if "Length" in length else chunked(body, size=1_000))
    status, _, said = wire.answer()
    assert (status, json.loads(said)["error"]["code"]) == (413, "limit_exceeded")
    for _ in range(20):
        wire.send(b" " * 100_000)
    assert wire.is_closed()


def test_documents_may_be_long_and_a_stranger_sends_nothing(running: Running) -> None:
    """Each route has its own bound; without a key none is read."""
    announced = f"Content-Length: {REQUEST_BYTES_MAX + 1}"
    for key, expected in (("secret", 413), ("wrong", 401)):
        wire = Wire(running.port, head("POST", "/v1/collections/docs/documents", JSON, announced, key=key))
        assert wire.line() == expected
        wire.close()


def test_the_tiniest_chunks_are_read_whole(running: Running) -> None:
    """They take turns with the others, and nothing of them is lost."""
    document = json.dumps({"id": "tiny", "text": "refund " * 1_000}).encode()
    wire = Wire(running.port, head("POST", "/v1/collections/docs/documents", JSON, "Transfer-Encoding: chunked"))
    wire.send(chunked(document, size=1))
    assert running.search() == 200
    assert wire.answer()[0] == 200
    read = json.loads(running.ask("GET", "/v1/collections/docs/documents/tiny")[2])
    assert read["text"] == "refund " * 1_000


def test_requests_in_a_row_are_answered_in_their_order(running: Running) -> None:
    """Pipelined, with bodies of both kinds."""
    long, short = (
        head("POST", "/v1/search", JSON, each) for each in ("Transfer-Encoding: chunked", "Content-Length: 2")
    )
    wire = Wire(running.port, long + chunked(SEARCH, size=1) + short + b"{}" + head("GET", "/healthz"))
    assert [wire.answer()[0] for _ in range(3)] == [200, 422, 200]


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize(("path", "key", "status"), [("/v1/search", "wrong", 401), ("/v1/no-such-path", "secret", 404)])
def test_a_request_refused_before_its_body_leaves_the_connection_usable(
    running: Running, path: str, key: str, status: int, *, is_chunked: bool
) -> None:
    """Many clients send headers and body apart, and use the connection again."""
    length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {len(SEARCH)}"
    body = chunked(SEARCH, size=1) if is_chunked else SEARCH
    wire = Wire(running.port)
    began = time.monotonic()
    for _ in range(3):
        wire.send(head("POST", path, JSON, length, key=key))
        assert wire.answer()[0] == status
        wire.send(body[:9])
        wire.send(body[9:] + head("GET", "/healthz"))
        assert wire.answer()[0] == 200
    assert time.monotonic() - began < 3 * KEPT_SECONDS  # each in less


def test_the_rest_of_a_refused_body_must_arrive_in_time(running: Running) -> None:
    """The timer of idle connections goes on while it drips."""
    wire = Wire(running.port, head("POST", "/v1/search", JSON, "Content-Length: 100", key="wrong"))
    assert wire.answer()[0] == 401
    wire.send(b" ")
    assert wire.is_closed()


def test_the_rest_of_a_refused_body_that_is_malformed_gets_no_second_answer(running: Running) -> None:
    wire = Wire(running.port, head("POST", "/v1/search", JSON, "Transfer-Encoding: chunked", key="wrong"))
    assert wire.answer()[0] == 401
    wire.send(b"no length\r\n")
    with pytest.raises((EOFError, ConnectionError)):
        wire.answer()


def test_a_length_that_is_a_lie_is_at_the_callers_cost(running: Running) -> None:
    """What is left over is no request; a second connection sees nothing of it."""
    wire = Wire(running.port, head("POST", "/v1/search", JSON, "Content-Length: 2") + SEARCH + b"\r\n\r\n")
    assert [wire.answer()[0] for _ in range(2)] == [422, 400]
    assert wire.is_closed()
    both = head("POST", "/v1/search", JSON, "Content-Length: 4", "Transfer-Encoding: chunked")
    assert Wire(running.port, both + chunked(SEARCH, size=9)).answer()[0] == 422
    assert running.search() == 200


def test_who_waits_for_leave_to_send_is_answered_first(running: Running) -> None:
    """100 for a body that is wanted; the refusal itself where it is not."""
    wanted = head("POST", "/v1/search", JSON, f"Content-Length: {len(SEARCH)}", "Expect: 100-continue")
    wire = Wire(running.port, wanted)
    assert wire.answer()[0] == 100
    wire.send(SEARCH)
    assert wire.answer()[0] == 200
    refused = head("POST", "/v1/search", JSON, "Content-Length: 9000000", "Expect: 100-continue")
    assert Wire(running.port, refused).answer()[0] == 413


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET /" + b"a" * HEADER_BYTES_MAX, 431),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 4_000, 431),
        (b"GET / HTTP/1.1\r\na: " + b"b" * 10_000_000, 431),
    ],
    ids=["tls", "address", "headers", "header"],
)
def test_what_is_no_request_gets_the_same_body_as_every_error(running: Running, sent: bytes, status: int) -> None:
    """Also where the server refuses before the application."""
    answered, headers, body = Wire(running.port, sent).answer()
    assert (answered, headers["content-type"], json.loads(body)["status"]) == (status, PROBLEM, status)


async def hands_out(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers with more than the kernel takes."""
    if scope["type"] == "lifespan":
        for said in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{said}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(LONG).encode())]})
    await send({"type": "http.response.body", "body": b"x" * LONG})


def test_an_answer_that_is_not_read_does_not_stay_in_memory() -> None:
    """By time, and by what all of them take together."""
    for bounds in ({"unread_seconds": 1.0}, {"unread_bytes_max": 1_000}):
        connections = Connections(MOST, **bounds)
        with listening(hands_out, connections) as port:
            wire = Wire(port, head("GET", "/"))
            assert wire.line() == 200
            while not connections.dropped:  # nothing is read until then
                time.sleep(0.01)
            with pytest.raises((EOFError, ConnectionError)):
                wire.read(LONG)


def test_a_reader_that_reads_gets_it_all() -> None:
    """However long the answer is."""
    with listening(hands_out, Connections(MOST, unread_seconds=1.0)) as port:
        assert len(Wire(port, head("GET", "/")).answer()[2]) == LONG


def test_that_nothing_can_be_accepted_is_said_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """asyncio says it for every attempt."""
    server = Server(hands_out, connections=Connections(MOST))
    with caplog.at_level(logging.ERROR):
        for _ in range(10_000):
            server._note(None, {"exception": OSError(errno.EMFILE, "Too many open files")})  # type: ignore[arg-type]
    assert 1 <= len(caplog.records) < 100
    assert "connections cannot be accepted: Too many open files (0 are open" in caplog.messages[0]


def test_connections_end_below_the_descriptors_which_are_raised() -> None:
    """To the hard limit; files and databases keep a quarter."""
    program = (
        "import resource\nfrom winnow.api.http.server import raise_descriptors\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (200, 800))\n"
        "print(raise_descriptors(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["800", "800", "800"]
    assert (connections_max(800), connections_max(10**6)) == (600, CONNECTIONS_MAX)
    assert resource.RLIM_INFINITY


@pytest.mark.parametrize("length", [(b"content-length", b"4"), (b"transfer-encoding", b"chunked")])
def test_a_head_of_known_length_leaves_with_its_body(length: tuple[bytes, bytes]) -> None:
    """The bytes are those of h11, and a stream's head waits for nothing."""
    events = [
        h11.Response(status_code=200, headers=[length]),
        h11.Data(data=b"ab"),
        h11.Data(data=b"cd"),
        h11.EndOfMessage(),
    ]
    sent = []
    for parser in (_PacedParser(h11.SERVER), h11.Connection(h11.SERVER)):
        parser.receive_data(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert [type(parser.next_event()) for _ in range(2)] == [h11.Request, h11.EndOfMessage]
        sent.append([parser.send(event) or b"" for event in events])
    ours, theirs = sent
    assert b"".join(ours) == b"".join(theirs)
    assert bool(ours[0]) == (length[0] == b"transfer-encoding")
