"""Every answer has an id, and the log says under that id what the request was and where its time went."""

from __future__ import annotations

import contextvars
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import FailingReranker, PrefersWord
from tests.unit.api.http.routes.test_routes import DOCUMENTS, parts_over
from tests.wire_service import Wire, head, listening
from winnow.api.http.app import create_app
from winnow.api.http.log_format import JsonFormatter, LineFormatter
from winnow.api.http.log_redaction import RedactedFormatter
from winnow.retrieval import tracing
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tracing import REQUEST_ID_CHARACTERS_MAX, RequestRecord, is_request_id

OURS = re.compile(r"req_[0-9a-f]{32}")
CANARY = "canary-of-a-text"
SEARCH = {"query": f"refund {CANARY}", "collection": "docs"}


class Logged:
    """What a formatter writes."""

    def __init__(self, formatter: RedactedFormatter) -> None:
        self.handler = logging.StreamHandler(io.StringIO())
        self.handler.setFormatter(formatter)

    def lines(self) -> list[str]:
        return str(self.handler.stream.getvalue()).splitlines()

    def requests(self) -> list[dict[str, Any]]:
        return [found for line in self.lines() if "route" in (found := json.loads(line))]


@pytest.fixture
def logs() -> Iterator[tuple[Logged, Logged]]:
    """As text and as JSON."""
    both = Logged(LineFormatter("%(levelname)s %(name)s: %(message)s")), Logged(JsonFormatter())
    logger = logging.getLogger("winnow")
    logger.setLevel(logging.INFO)
    for each in both:
        logger.addHandler(each.handler)
    yield both
    for each in both:
        logger.removeHandler(each.handler)
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    parts = parts_over(
        tmp_path_factory.mktemp("data"),
        tokenizer,
        PrefersWord("refund"),
        FailingReranker(RerankUnavailable("no server")),
    )
    with CheckingClient(create_app(parts), base_url="http://localhost") as client:
        assert client.post("/v1/collections", json={"name": "docs"}).status_code == 201
        assert client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS}).status_code == 200
        yield client


@pytest.mark.parametrize("path", ["/healthz", "/nothing/here", "/v1/collections/none", "/docs"])
def test_every_answer_has_an_id(client: TestClient, path: str) -> None:
    """Its own, or the one that the caller sent; a problem names it in its body."""
    ours = client.get(path)
    assert OURS.fullmatch(ours.headers["X-Request-Id"])
    theirs = client.get(path, headers={"X-Request-Id": "edge-7:a=b.c_d"})
    assert theirs.headers["X-Request-Id"] == "edge-7:a=b.c_d"
    if theirs.status_code == 404:
        assert theirs.json()["id"] == "edge-7:a=b.c_d"
        assert ours.json()["id"] == ours.headers["X-Request-Id"]


def test_an_answers_own_id_is_unique_even_under_a_callers_id(client: TestClient) -> None:
    """Feedback names an answer by it, so no caller may choose it; without a caller's id both are one."""
    plain = client.post("/v1/search", json=SEARCH)
    assert plain.json()["id"] == plain.headers["X-Request-Id"]
    for path, body in (("/v1/search", SEARCH), ("/v1/rerank", {"query": "q", "documents": ["a"]})):
        answers = [client.post(path, json=body, headers={"X-Request-Id": "mine"}) for _ in range(2)]
        assert {each.headers["X-Request-Id"] for each in answers} == {"mine"}
        assert len({each.json()["id"] for each in answers} - {"mine"}) == 2


@given(sent=st.text(max_size=REQUEST_ID_CHARACTERS_MAX + 2))
def test_an_id_has_few_safe_characters(sent: str) -> None:
    """Nothing that ends a line of a log or a header, or stands for markup; an id of another form is replaced."""
    record = RequestRecord.of(sent)
    if is_request_id(sent):
        assert record.request_id == sent
        assert re.fullmatch(r"[A-Za-z0-9._:=-]{1,128}", sent, re.ASCII)
    else:
        assert record.request_id == record.answer_id
        assert OURS.fullmatch(record.request_id)


@pytest.mark.parametrize("sent", ["", "a b", "a\tb", "ä", "x" * 129, "<b>", "wk_0123456789ab_0123456789abcdef01234567"])
def test_an_id_of_another_form_is_replaced(client: TestClient, sent: str) -> None:
    """Refusing the request would break callers behind a proxy that sends something else."""
    answered = client.get("/healthz", headers={"X-Request-Id": sent.encode("latin-1")})
    assert answered.status_code == 200
    assert OURS.fullmatch(answered.headers["X-Request-Id"])


def test_two_ids_are_none(client: TestClient) -> None:
    """Which of them would be in the log of the caller?"""
    answered = client.get("/healthz", headers=[("X-Request-Id", "one"), ("X-Request-Id", "two")])
    assert OURS.fullmatch(answered.headers["X-Request-Id"])


def test_an_unexpected_error_has_the_id_in_header_body_and_log(
    tmp_path: Path, tokenizer: PlainTokenizer, logs: tuple[Logged, Logged]
) -> None:
    """It is answered outside the middleware, and most worth finding again."""
    parts = parts_over(tmp_path, tokenizer, PrefersWord("a"))
    app = create_app(parts)
    app.add_route("/fails", lambda _: 1 / 0)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        failed = client.get("/fails", headers={"X-Request-Id": "theirs"})
    assert (failed.status_code, failed.headers["X-Request-Id"], failed.json()["id"]) == (500, "theirs", "theirs")
    (logged,) = logs[1].requests()
    assert (logged["status"], logged["request_id"]) == (500, "theirs")


def test_a_refusal_below_the_framework_has_an_id(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """Also after a request of the same connection, whose id it must not repeat."""
    with listening(create_app(parts_over(tmp_path, tokenizer, PrefersWord("a")))) as port:
        wire = Wire(port, head("GET", "/healthz", "X-Request-Id: first") + b"no request\r\n\r\n")
        first, second = wire.answer(), wire.answer()
    assert (first[0], first[1]["x-request-id"], second[0]) == (200, "first", 400)
    assert OURS.fullmatch(second[1]["x-request-id"])
    assert json.loads(second[2])["id"] == second[1]["x-request-id"]


def test_a_search_is_logged_with_its_stages(client: TestClient, logs: tuple[Logged, Logged]) -> None:
    """In both forms: what it was, how it ended, who asked, and where the time went; never what was asked."""
    client.post("/v1/search?secret=1", json=SEARCH, headers={"X-Request-Id": "mine"})
    text, (found,) = logs[0].lines()[-1], logs[1].requests()
    stages = found.pop("stages_ms")
    assert list(stages) == ["prepare", "embed", "recall", "fetch", "rerank"]
    assert 0 < sum(stages.values()) <= found.pop("duration_ms")
    assert OURS.fullmatch(found.pop("answer_id"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", found.pop("time"))
    assert found == {
        "level": "info", "logger": "winnow.api.http.observed", "request_id": "mine", "tenant": "default",
        "message": 'testclient:50000 - "POST /v1/search HTTP/1.1" 200', "client": "testclient:50000",
        "method": "POST", "path": "/v1/search", "route": "/v1/search", "status": 200,
    }  # fmt: skip
    assert re.fullmatch(
        r'INFO winnow\.api\.http\.observed: testclient:50000 - "POST /v1/search HTTP/1.1" 200 \d+\.\d ms '
        r"prepare=\d+\.\d embed=\d+\.\d recall=\d+\.\d fetch=\d+\.\d rerank=\d+\.\d tenant=default id=mine",
        text,
    )
    assert CANARY not in f"{text}{found}"


def test_a_failed_stage_has_its_time_too(client: TestClient, logs: tuple[Logged, Logged]) -> None:
    """A search that waits for a reranker in vain should show where."""
    assert client.post("/v1/collections", json={"name": "fails", "reranker": "failing"}).status_code == 201
    assert client.post("/v1/collections/fails/documents", json={"documents": DOCUMENTS}).status_code == 200
    assert client.post("/v1/search", json=SEARCH | {"collection": "fails"}).json()["degraded"]
    assert "rerank" in logs[1].requests()[-1]["stages_ms"]


def test_an_unrouted_request_is_logged_on_one_line(client: TestClient, logs: tuple[Logged, Logged]) -> None:
    """Whatever its path holds."""
    client.get("/a%0Ab%22?q=canary")
    (found,) = logs[1].requests()
    assert (found["path"], found["route"], found["status"], found["tenant"]) == ("/a%0Ab%22", "none", 404, None)
    assert len(logs[0].lines()) == 1


def test_any_text_can_be_logged_as_json() -> None:
    """Names of files and ids may hold half a surrogate pair."""
    line = JsonFormatter().format(logging.LogRecord("x", logging.WARNING, "f", 1, "退货 %s", ("\ud800",), None))
    assert json.loads(line)["message"] == "退货 \\ud800"


def test_other_lines_of_a_request_have_its_id() -> None:
    """A warning from any part can be found by the id that the caller has; each line is one JSON object."""
    formatter = JsonFormatter()
    warning = logging.LogRecord("x", logging.WARNING, "f", 1, 'Bearer hunter2 "quoted"\nnext', None, None)
    alone = formatter.format(warning)
    assert "\n" not in alone
    assert json.loads(alone)["message"] == 'Bearer (withheld) "quoted"\nnext'
    assert "request_id" not in json.loads(alone)

    def in_request() -> str:
        tracer = tracing.make_tracer(None, "1")
        with tracing.following(RequestRecord.of("mine"), {}, tracer=tracer, name="GET", attributes={}):
            return formatter.format(warning)

    assert json.loads(contextvars.copy_context().run(in_request))["request_id"] == "mine"
