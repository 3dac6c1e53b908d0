"""Traces as a collector receives them: one tree per request, from the caller's span to the model server's."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import winnow
from tests.answers import CheckingClient
from tests.fakes import FailingReranker, PrefersWord
from tests.observe.otlp_receiver import OtlpReceiver, Received, receiving, require_tree
from tests.observe.traced_vllm import TracedVllm, unquestioned
from tests.tiny_models import write_reranker
from tests.unit.api.http.routes.test_routes import DOCUMENTS, parts_over
from tests.wire_service import Wire, head, listening
from winnow.api.assemble import Services
from winnow.api.http.app import create_app
from winnow.api.http.trace_export import FLUSH_SECONDS_MAX, exporting
from winnow.api.settings import trace_export
from winnow.api.trace_variables import TraceExport
from winnow.rerank.reranker import Reranker
from winnow.rerank.vllm_reranker import RERANKER_FAILURES, VllmReranker
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.model.folder import ModelFolder, find_model
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tracing import TracerProvider
from winnow.retrieval.vllm.pool import VllmPool

CANARY = "canary-of-a-text"
SEARCH = {"query": f"refund {CANARY}", "collection": "docs", "instruction": f"Prefer {CANARY}"}
THEIR_TRACE, THEIR_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SERVER, CLIENT = 2, 3  # kinds of spans in the protocol
CALL = "POST /classify"


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return find_model(str(write_reranker(tmp_path_factory.mktemp("models") / "tiny")), kind="reranker")


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpReceiver]:
    """The standard variables name it, as they would for `winnow serve`."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        yield receiver


@contextmanager
def served(parts: Services, provider: TracerProvider | None) -> Iterator[TestClient]:
    with CheckingClient(create_app(parts, tracer_provider=provider), base_url="http://localhost") as client:
        assert client.post("/v1/collections", json={"name": "docs"}).status_code == 201
        assert client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS}).status_code == 200
        yield client


@contextmanager
def served_by(
    folder: Path, tokenizer: PlainTokenizer, judge: ModelFolder, vllm: TracedVllm, provider: TracerProvider | None
) -> Iterator[TestClient]:
    """The service in front of a model server."""
    with vllm.running():
        pool = VllmPool([vllm.url], RERANKER_FAILURES, proof=unquestioned)
        reranker = VllmReranker.load(judge, pool, secret=b"0" * 32)
        parts = replace(parts_over(folder, tokenizer, reranker), pools=(pool,))
        with served(parts, provider) as client:
            yield client


@contextmanager
def traced(folder: Path, tokenizer: PlainTokenizer, reranker: Reranker) -> Iterator[TestClient]:
    """The service with traces on; they have arrived after the block."""
    with exporting(trace_export()) as provider, served(parts_over(folder, tokenizer, reranker), provider) as client:
        yield client


def by_name(spans: list[Received]) -> dict[str, Received]:
    return {each.name: each for each in spans}


def test_each_request_is_one_tree_down_to_the_model_servers_span(
    tmp_path: Path, tokenizer: PlainTokenizer, judge: ModelFolder, collector: OtlpReceiver
) -> None:
    """Also when requests run at the same time; and the checks of the server are in no request's trace."""
    vllm = TracedVllm(collector)
    with exporting(trace_export()) as provider, served_by(tmp_path, tokenizer, judge, vllm, provider) as client:
        with ThreadPoolExecutor(4) as threads:
            asked = [SEARCH | {"query": f"refund {CANARY} {number}"} for number in range(8)]
            answers = list(threads.map(lambda body: client.post("/v1/search", json=body), asked))
        assert [each.json()["degraded"] for each in answers] == [None] * 8
    traces = [spans for spans in collector.traces().values() if "POST /v1/search" in {each.name for each in spans}]
    assert len(traces) == 8
    for spans in traces:
        root = require_tree(spans)
        found = by_name(spans)
        assert (root.name, root.kind, root.service) == ("POST /v1/search", SERVER, "winnow")
        for name in ("prepare", "embed", "recall", "fetch", "rerank"):
            assert found[name].parent_id == root.span_id, name
        assert found["score"].parent_id == found["tokenise"].parent_id == found["rerank"].span_id
        assert (found[CALL].parent_id, found[CALL].kind) == (found["score"].span_id, CLIENT)
        assert (found["llm_request"].parent_id, found["llm_request"].service) == (found[CALL].span_id, "vllm")
    for spans in collector.traces().values():
        require_tree(spans)
    assert sum(each is not None for each in vllm.parents) == 8  # the others are checks, at the start
    assert None in vllm.parents


def test_a_check_that_a_request_causes_is_not_in_its_trace(
    tmp_path: Path, tokenizer: PlainTokenizer, judge: ModelFolder, collector: OtlpReceiver
) -> None:
    """A server that fails a call is checked again, until it passes: the trace of that call would never end."""
    vllm = TracedVllm(collector)
    with exporting(trace_export()) as provider, served_by(tmp_path, tokenizer, judge, vllm, provider) as client:
        checks = vllm.parents.count(None)
        vllm.hang_ups = 2  # the client tries twice
        assert client.post("/v1/search", json=SEARCH).json()["degraded"]
        deadline = time.monotonic() + 30
        while not vllm.parents[checks:]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert set(vllm.parents[checks:]) == {None}
    searched = next(each for each in collector.spans if each.name == "POST /v1/search")
    calls = [each for each in collector.traces()[searched.trace_id] if each.kind == CLIENT]
    assert [(each.name, each.is_error, each.attributes["error.type"]) for each in calls] == [
        (CALL, True, "CallFailed")
    ]  # fmt: skip


def test_attributes_are_those_of_the_conventions_and_hold_no_text(
    tmp_path: Path, tokenizer: PlainTokenizer, collector: OtlpReceiver
) -> None:
    """Names, numbers and identities; nothing of a query, an instruction, a document, a key or a query string."""
    with traced(tmp_path, tokenizer, PrefersWord("refund")) as client:
        client.headers["X-Request-Id"] = "mine"
        client.post(f"/v1/search?note={CANARY}", json=SEARCH, headers={"authorization": f"Bearer {CANARY}"})
        client.post("/v1/rerank", json={"query": CANARY, "documents": [CANARY]})
        client.post("/v1/collections/docs/documents", json={"id": "x", "text": CANARY, "title": CANARY})
        client.get(f"/{CANARY}", headers={"user-agent": CANARY})
        client.request(CANARY.upper(), "/v1/search")
        client.post("/v1/search", content=CANARY.encode())
    spans = by_name([each for each in collector.spans if each.attributes.get("winnow.request_id") == "mine"])
    assert "GET" in spans  # without a route there is no path
    assert spans["POST /v1/search"].attributes.keys() >= {
        "http.request.method", "http.response.status_code", "http.route", "url.path", "url.scheme", "server.address",
        "server.port", "network.protocol.version", "winnow.tenant",
    }  # fmt: skip
    stages = by_name(collector.spans)
    assert stages["embed"].attributes["gen_ai.operation.name"] == "embeddings"
    assert stages["embed"].attributes.keys() >= {"gen_ai.request.model", "gen_ai.embeddings.dimension.count"}
    assert stages["recall"].attributes["gen_ai.operation.name"] == "retrieval"
    assert stages["rerank"].attributes["gen_ai.request.model"] == "prefers-word"
    known = re.compile(r"(http|url|server|network|gen_ai|winnow|error)\.[a-z_.]+")
    assert [name for each in collector.spans for name in each.attributes if not known.fullmatch(name)] == []
    assert CANARY.encode() not in collector.raw
    assert CANARY.upper().encode() not in collector.raw
    assert DOCUMENTS[0]["text"].encode() not in collector.raw


def test_a_callers_trace_is_continued(
    tmp_path: Path, tokenizer: PlainTokenizer, judge: ModelFolder, collector: OtlpReceiver
) -> None:
    """One that the caller records is recorded, one that it does not is passed on as it is."""
    vllm = TracedVllm(collector)
    with exporting(trace_export()) as provider, served_by(tmp_path, tokenizer, judge, vllm, provider) as client:
        recorded = client.post("/v1/search", json=SEARCH, headers={"traceparent": f"00-{THEIR_TRACE}-{THEIR_SPAN}-01"})
        passed_by = {"traceparent": f"00-{THEIR_TRACE[::-1]}-{THEIR_SPAN}-00"}
        passed = client.post("/v1/search", json=SEARCH | {"query": "other"}, headers=passed_by)
        wrong = client.post("/v1/search", json=SEARCH, headers={"traceparent": "00-x-y-01"})
        assert {recorded.status_code, passed.status_code, wrong.status_code} == {200}
    spans = collector.traces()[THEIR_TRACE]
    assert require_tree(spans, parent_id=THEIR_SPAN).name == "POST /v1/search"
    assert "llm_request" in by_name(spans)
    assert THEIR_TRACE[::-1] not in collector.traces()
    assert [
        each
        for each in vllm.parents
        if each is not None and re.fullmatch(f"00-{THEIR_TRACE[::-1]}-[0-9a-f]{{16}}-00", each)
    ]


def test_without_the_sdk_a_callers_trace_still_reaches_the_model_server(
    tmp_path: Path, tokenizer: PlainTokenizer, judge: ModelFolder
) -> None:
    """winnow adds no spans then, and does not break the trace of others."""
    vllm = TracedVllm()
    with served_by(tmp_path, tokenizer, judge, vllm, None) as client:
        parent = f"00-{THEIR_TRACE}-{THEIR_SPAN}-01"
        client.post("/v1/search", json=SEARCH, headers={"traceparent": parent})
        client.post("/v1/search", json=SEARCH | {"query": "other"})
    assert vllm.parents[-2:] == [parent, None]


def test_requests_of_one_connection_have_traces_of_their_own(
    tmp_path: Path, tokenizer: PlainTokenizer, collector: OtlpReceiver
) -> None:
    """A pipelined request starts in the context of the one before."""
    with exporting(trace_export()) as provider:
        app = create_app(parts_over(tmp_path, tokenizer, PrefersWord("a")), tracer_provider=provider)
        with listening(app) as port:
            wire = Wire(port, head("GET", "/healthz") * 3)
            assert [wire.answer()[0] for _ in range(3)] == [200] * 3
    assert len(collector.traces()) == len(collector.spans) == 3


def test_a_failure_is_noted_by_its_type_only(
    tmp_path: Path, tokenizer: PlainTokenizer, collector: OtlpReceiver
) -> None:
    """The stage that failed, not the request that was answered all the same; a 404 is the caller's, not an error."""
    with traced(tmp_path, tokenizer, FailingReranker(RerankUnavailable(CANARY))) as client:
        assert client.post("/v1/search", json=SEARCH).json()["degraded"]
        assert client.post("/v1/search", json=SEARCH | {"on_rerank_failure": "error"}).status_code == 503
        assert client.post("/v1/search", json=SEARCH | {"collection": "none"}).status_code == 404
    failed = [each for each in collector.spans if each.name == "rerank"]
    assert [(each.is_error, each.attributes["error.type"]) for each in failed] == [(True, "RerankUnavailable")] * 2
    answered = {each.attributes["http.response.status_code"]: each for each in collector.spans if each.kind == SERVER}
    assert [(status, answered[status].is_error) for status in (200, 404, 503)] == [
        (200, False), (404, False), (503, True)
    ]  # fmt: skip
    assert CANARY.encode() not in collector.raw


def test_the_standard_variables_name_service_and_sampler(
    tmp_path: Path, tokenizer: PlainTokenizer, collector: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for every program with OpenTelemetry."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with traced(tmp_path / "off", tokenizer, PrefersWord("a")) as client:
        client.post("/v1/search", json=SEARCH)
    assert collector.spans == []
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "search-eu")
    with traced(tmp_path / "on", tokenizer, PrefersWord("a")) as client:
        client.post("/v1/search", json=SEARCH)
    assert {each.service for each in collector.spans} == {"search-eu"}


def test_a_collector_that_is_gone_delays_nothing(
    tmp_path: Path, tokenizer: PlainTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither answers nor the end."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with exporting(trace_export()) as provider:
        with served(parts_over(tmp_path, tokenizer, PrefersWord("a")), provider) as client:
            began = time.monotonic()
            assert client.post("/v1/search", json=SEARCH).status_code == 200
            assert time.monotonic() - began < 5
        began = time.monotonic()
    assert time.monotonic() - began < 2 * FLUSH_SECONDS_MAX


def test_the_sdk_is_named_by_one_module() -> None:
    """All others work without it, and trace through the API alone."""
    root = Path(winnow.__file__).parent
    naming = [
        str(path.relative_to(root))
        for path in sorted(root.glob("*/**/*.py"))
        if re.search(r"opentelemetry\.(sdk|exporter)\b.* import", path.read_text(encoding="utf-8"))
    ]
    assert naming == ["api/http/trace_export.py"]


OFF = TraceExport(is_wanted=False)
ON = TraceExport(is_wanted=True, endpoint="http://c:4318/v1/traces")
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, OFF),
        (ENDPOINT, ON),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, ON),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://d/x"}, replace(ON, endpoint="http://d/x")),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, replace(ON, endpoint="http://localhost:4318/v1/traces")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, OFF),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "TRUE"}, OFF),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, OFF),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, ON),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}, ON),
    ],
)
def test_the_environment_decides_whether(environment: dict[str, str], expected: TraceExport) -> None:
    """By OpenTelemetry's own rules."""
    assert trace_export(environment) == expected


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "OTEL_TRACES_EXPORTER=zipkin is not supported; use otlp"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"),
    ],
)
def test_what_cannot_be_followed_is_told_and_stops_nothing(variable: str, value: str, said: str) -> None:
    """Such variables are set for a whole cluster."""
    found = trace_export(ENDPOINT | {variable: value})
    assert not found.is_wanted
    assert found.problem is not None
    assert said in found.problem
