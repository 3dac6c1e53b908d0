"""The HTTP surface over real storage and scripted models: statuses, bodies, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import FailingReranker, HashEmbedder, PrefersWord
from winnow.api.assemble import Services, wire
from winnow.api.http.app import create_app
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.schemas.search_request import SearchBody
from winnow.api.settings import Settings
from winnow.rerank.reranker import Reranker
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.limits import DOCUMENTS_PER_REQUEST_MAX
from winnow.retrieval.model.tokenizer import PlainTokenizer

DOCUMENTS = [
    {"id": "refunds", "title": "Refunds", "text": "Within fourteen days you may ask for a refund.", "line": "legal"},
    {"id": "herons", "text": "The heron stands still in shallow water."},
    {"id": "zh/退货", "title": "退货", "text": "消费者自收到商品之日起七日内有权退货。", "metadata": {"lang": "zh"}},
]


def parts_over(folder: Path, tokenizer: PlainTokenizer, *rerankers: Reranker, **settings: Any) -> Services:
    """The first reranker is the default."""
    embedding = LoadedEmbedder(embedder=HashEmbedder(), tokenizer=tokenizer, runs_on="hash", device="cpu")
    judging, *also = [LoadedReranker(reranker=each, runs_on="words", device="cpu") for each in rerankers]
    return wire(replace(Settings(data=folder), **settings), embedding, judging, also=also)


@pytest.fixture
def client(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    parts = parts_over(tmp_path, tokenizer, PrefersWord("退货"))
    with CheckingClient(create_app(parts), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def filled(client: TestClient) -> TestClient:
    assert client.post("/v1/collections", json={"name": "docs"}).status_code == 201
    assert client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS}).status_code == 200
    return client


def test_a_collection_lives_from_its_making_to_its_removal(client: TestClient) -> None:
    """Made, listed, described, removed; a second one of its name is refused while it lives."""
    made = client.post("/v1/collections", json={"name": "docs", "chunk_tokens": 64})
    assert made.status_code == 201
    assert (made.json()["chunk_tokens"], made.json()["documents"]) == (64, 0)
    assert client.post("/v1/collections", json={"name": "docs"}).status_code == 409
    assert [each["name"] for each in client.get("/v1/collections").json()["collections"]] == ["docs"]
    assert client.get("/v1/collections/docs").json() == made.json()
    assert client.delete("/v1/collections/docs").json() == {"deleted": "docs"}
    assert client.get("/v1/collections/docs").status_code == 404
    assert client.post("/v1/collections", json={"name": "docs"}).status_code == 201


def test_what_was_written_is_searchable_at_once(filled: TestClient) -> None:
    """The next search finds it, judged, with offsets into its document and its own metadata."""
    found = filled.post("/v1/search", json={"query": "七日内有权退货", "collection": "docs", "top_k": 2})
    assert found.status_code == 200
    best = found.json()["results"][0]
    assert (best["document_id"], best["relevance"], best["score"]) == ("zh/退货", 0.9, 0.9)
    assert best["chunk"] == {"ordinal": 0, "start": 0, "end": len(DOCUMENTS[2]["text"])}
    assert best["metadata"] == {"lang": "zh"}
    assert found.json()["judged_by"] == "prefers-word"


def test_replacing_and_deleting_show_at_once(filled: TestClient) -> None:
    """Nothing old is found after the answer arrived."""
    filled.post("/v1/collections/docs/documents", json={"id": "herons", "text": "Now about 退货 and herons."})
    assert filled.delete("/v1/collections/docs/documents/zh/退货").status_code == 200
    found = filled.post("/v1/search", json={"query": "退货", "collection": "docs"}).json()["results"]
    assert (found[0]["document_id"], found[0]["relevance"]) == ("herons", 0.9)
    assert "zh/退货" not in {each["document_id"] for each in found}
    assert filled.delete("/v1/collections/docs/documents/zh/退货").status_code == 404


def test_a_document_comes_back_as_it_was_sent(filled: TestClient) -> None:
    """Fields beside the named ones are metadata."""
    said = filled.get("/v1/collections/docs/documents/refunds").json()
    assert said == {
        "id": "refunds",
        "title": "Refunds",
        "text": DOCUMENTS[0]["text"],
        "start": 0,
        "end": len(DOCUMENTS[0]["text"]),
        "characters": len(DOCUMENTS[0]["text"]),
        "url": None,
        "metadata": {"line": "legal"},
        "parts": [],
    }
    assert filled.get("/v1/collections/docs/documents/none").json()["error"]["code"] == "document_not_found"


def test_the_same_documents_again_cost_nothing(filled: TestClient) -> None:
    """A client that repeats a request after a lost answer writes nothing new."""
    again = filled.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS}).json()
    assert (again["accepted"], again["unchanged"], again["chunks"], again["tokens"]) == (3, 3, 0, 0)
    assert again["store_version"] is None


def test_ndjson_goes_in_line_by_line_and_names_what_is_refused(client: TestClient) -> None:
    """The good go in; each of the others is named with its line and reason."""
    client.post("/v1/collections", json={"name": "docs"})
    lines = [
        '{"id": "a", "text": "one"}',
        "",
        "{broken",
        '{"id": "b"}',
        '["no object"]',
        '{"id": "a", "text": "again"}',
    ]
    sent = client.post(
        "/v1/collections/docs/documents",
        content="\n".join(lines).encode(),
        headers={"content-type": "application/x-ndjson"},
    )
    assert sent.status_code == 200
    rejected = {each["line"]: each["reason"] for each in sent.json()["rejected"]}
    assert sent.json()["accepted"] == 1
    assert rejected[3].startswith("not JSON")
    assert rejected[4] == "no text (field 'text')"
    assert rejected[5] == "not a JSON object"
    assert rejected[6] == "the id is already used by request:1"


def test_where_nothing_can_be_taken_the_status_says_so(client: TestClient) -> None:
    """A client that looks at the status only must not believe that it was stored."""
    client.post("/v1/collections", json={"name": "docs"})
    assert client.post("/v1/collections/docs/documents", json={"id": "a"}).status_code == 422


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"query": "q"}, "name a collection; this key has none of its own"),
        ({"query": " ", "collection": "docs"}, "'query': it must not be blank"),
        ({"query": "q", "collection": "docs", "filters": {}}, "the field 'filters' is unknown"),
        ({"query": "q", "collection": "docs", "top_k": 0}, "'top_k': Input should be greater than or equal to 1"),
        ({"query": "q", "collection": "../etc"}, "'collection': a name has 1 to 63 of"),
        (
            {"query": "q", "collection": "docs", "instruction": {"name": "x" * 129}},
            "'instruction.name': String should have at most 128 characters",
        ),
        ({"query": "q", "collection": "docs", "instruction": {"nme": "x"}}, "the field 'instruction.name' is missing"),
        (
            {"query": "q", "collection": "docs", "instruction": {"name": "x", "variables": {"today": [1]}}},
            "'instruction.variables.today': a value must be a string or an integer",
        ),
        ({"query": "q", "collection": "docs", "rerank": False, "min_relevance": 0.5}, "min_relevance needs rerank"),
        ({"query": "q", "collection": "docs", "chunks_per_document": 2}, "chunks_per_document needs group_by_document"),
        ({"query": "q", "collection": "docs", "neighbours": 11}, "'neighbours': Input should be less than or equal"),
        ({"query": "q", "collection": "docs", "instruction": "  "}, "'instruction': it must not be blank"),
        ({"query": "q" * 8193, "collection": "docs"}, "'query': String should have at most 8192 characters"),
    ],
)
def test_a_wrong_body_is_refused_by_the_name_of_the_field(client: TestClient, body: dict[str, Any], said: str) -> None:
    """422, one sentence, and the field in `error.param`."""
    refused = client.post("/v1/search", json=body)
    assert refused.status_code == 422
    assert said in refused.json()["detail"]
    assert isinstance(refused.json()["detail"], str)


def many_documents(client: TestClient) -> TestClient:
    """Sixty of them, of which the judge likes none: nothing is to be found behind the first wave."""
    client.post("/v1/collections", json={"name": "many"})
    documents = [{"id": str(number), "text": f"Text number {number} about herons."} for number in range(60)]
    assert client.post("/v1/collections/many/documents", json={"documents": documents}).status_code == 200
    return client


@pytest.mark.parametrize(
    ("asked", "judged"),
    [({}, 60), ({"depth": "full"}, 60), ({"depth": "adaptive"}, 25), ({"depth": "adaptive", "top_k": 20}, 40),
     ({"depth": "adaptive", "min_relevance": 0.05}, 60), ({"depth": "adaptive", "group_by_document": True}, 60),
     ({"depth": "adaptive", "rerank": False}, 0)],
)  # fmt: skip
def test_an_answer_says_how_many_were_judged(client: TestClient, asked: dict[str, Any], judged: int) -> None:
    """And explains the others without a figure that nobody found; what is shown was always judged."""
    body = {"query": "herons", "collection": "many", "candidates": 60, "explain": True} | asked
    said = many_documents(client).post("/v1/search", json=body).json()
    assert (said["usage"]["candidates"], said["usage"]["judged"]) == (60, judged)
    assert [each["relevance"] is not None for each in said["explain"]] == [True] * judged + [False] * (60 - judged)
    if judged:
        assert {each["score"] for each in said["explain"][judged:]} <= {None}
        assert all(each["relevance"] is not None for each in said["results"])


def test_a_service_may_judge_adaptively_by_default(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """The setting is the default, the request's own word wins, and texts without a similarity are all judged."""
    parts = parts_over(tmp_path, tokenizer, PrefersWord("退货"), depth="adaptive")
    with CheckingClient(create_app(parts), base_url="http://localhost") as client:
        body = {"query": "herons", "collection": "many", "candidates": 60}
        judged = [
            many_documents(client).post("/v1/search", json=body | own).json()["usage"]["judged"]
            for own in ({}, {"depth": "full"})
        ]
        texts = [f"text {number}" for number in range(60)]
        reranked = client.post("/v1/rerank", json={"query": "q", "documents": texts, "top_n": 60}).json()
    assert judged == [25, 60]
    assert len(reranked["results"]) == 60
    assert client.post("/v1/search", json=body | {"depth": "deep"}).json()["error"]["param"] == "depth"


def test_unknown_collections_and_empty_ones_differ(client: TestClient) -> None:
    """404 asks for another name, 409 for some documents."""
    assert client.post("/v1/search", json={"query": "q", "collection": "none"}).status_code == 404
    client.post("/v1/collections", json={"name": "docs"})
    empty = client.post("/v1/search", json={"query": "q", "collection": "docs"})
    assert (empty.status_code, empty.json()["error"]["code"]) == (409, "collection_not_ready")


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m", "query": "q", "documents": ["a", "退货"], "top_n": 1, "max_tokens_per_doc": None},
        {"model": "m", "query": "q", "documents": ["a", {"text": "退货"}], "top_k": 1, "truncation": True},
        {"query": "q", "documents": [{"text": "a"}, {"text": "退货"}], "top_n": 1, "instruct": "i", "user": "u"},
    ],
)
def test_rerank_reads_the_bodies_of_other_peoples_clients(client: TestClient, body: dict[str, Any]) -> None:
    """Cohere, Voyage, Jina, vLLM, SGLang: null fields, both names of both fields, texts as objects."""
    said = client.post("/v1/rerank", json=body)
    assert said.status_code == client.post("/v2/rerank", json=body).status_code == 200
    assert said.json()["results"] == [{"index": 1, "relevance_score": 0.9, "document": {"text": "退货"}}]


def test_rerank_takes_null_in_every_optional_field(client: TestClient) -> None:
    """Clients send what they have, and null where they have nothing."""
    optional = ("model", "top_n", "top_k", "instruction", "instruct", "return_documents", "timeout_ms")
    body = {"query": "q", "documents": ["a"], **dict.fromkeys(optional)}
    assert client.post("/v1/rerank", json=body).status_code == 200
    texts = client.post("/v1/rerank", json=body | {"return_documents": False}).json()["results"]
    assert texts == [{"index": 0, "relevance_score": 0.1}]


def test_a_failing_reranker_degrades_a_search_and_fails_a_rerank(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """A search has recall's order to answer with, unless that is not wanted; loose documents have no order."""
    parts = parts_over(tmp_path, tokenizer, FailingReranker(RerankUnavailable("no reply")))
    with CheckingClient(create_app(parts), base_url="http://localhost") as client:
        client.post("/v1/collections", json={"name": "docs"})
        client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS})
        body = {"query": "heron", "collection": "docs"}
        degraded = client.post("/v1/search", json=body)
        assert (degraded.status_code, degraded.json()["judged_by"]) == (200, "recall-order")
        assert degraded.json()["degraded"] == {"stage": "rerank", "reason": "unavailable"}
        assert {each["relevance"] for each in degraded.json()["results"]} == {None}
        failed = client.post("/v1/search", json=body | {"on_rerank_failure": "error"})
        assert (failed.status_code, failed.headers["retry-after"]) == (503, "1")
        assert failed.json()["error"]["code"] == "rerank_unavailable"
        assert client.post("/v1/rerank", json={"query": "q", "documents": ["a"]}).status_code == 503
        assert client.get("/readyz").status_code == 503


def test_a_key_is_asked_for_everywhere_but_at_the_health_routes(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """Taken from the app's own table, so that no route is forgotten."""
    parts = parts_over(tmp_path, tokenizer, PrefersWord("a"), api_key="secret")
    app = create_app(parts)
    with CheckingClient(app, base_url="http://search.example.org") as client:
        operations = [
            (method, path.replace("{name}", "docs").replace("{document_id}", "a"))
            for path, methods in app.openapi()["paths"].items()
            for method in methods
        ]
        assert len(operations) >= 14
        for method, path in operations:
            status = client.request(method, path, json={}).status_code
            is_open = path in {"/healthz", "/readyz", "/v1/models", "/v1/models/docs"}
            assert (status == 401) is not is_open, (method, path)
        opened = client.get("/v1/collections", headers={"authorization": "Bearer secret"})
        assert opened.json() == {"collections": []}
        assert client.get("/readyz").json()["collections"] is None


def test_without_a_key_a_foreign_host_name_is_refused(client: TestClient) -> None:
    """DNS rebinding."""
    assert client.get("/v1/collections", headers={"host": "evil.example.org"}).status_code == 403


def test_instructions_are_published_in_versions_and_used_by_name(filled: TestClient) -> None:
    """The answer names the version under which it was judged."""
    for text in ("first", "second"):
        assert filled.post("/v1/instructions", json={"name": "house", "text": text}).status_code == 201
    assert [each["version"] for each in filled.get("/v1/instructions").json()["instructions"]] == [1, 2]
    body = {"query": "q", "collection": "docs", "instruction": {"name": "house"}}
    said = filled.post("/v1/search", json=body).json()["instruction"]
    assert (said["name"], said["version"], said["source"]) == ("house", 2, "request")
    missing = filled.post("/v1/search", json=body | {"instruction": {"name": "none"}})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "instruction_not_found")


def test_too_many_documents_and_unknown_kinds_of_body_are_refused(client: TestClient) -> None:
    """JSON is held in memory as one request; NDJSON has no such bound."""
    client.post("/v1/collections", json={"name": "docs"})
    many = {"documents": [{"id": str(number), "text": "t"} for number in range(DOCUMENTS_PER_REQUEST_MAX + 1)]}
    assert client.post("/v1/collections/docs/documents", json=many).status_code == 413
    sent = client.post(
        "/v1/collections/docs/documents", content=orjson.dumps(many), headers={"content-type": "text/plain"}
    )
    assert sent.status_code == 415
    assert "text/plain" in sent.json()["detail"]


def test_unknown_routes_answer_with_the_same_body(client: TestClient) -> None:
    """So that a client needs one parser for all errors."""
    missing = client.get("/v2/nothing")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    assert missing.headers["content-type"] == "application/problem+json"


def test_the_documentation_describes_what_is_sent(client: TestClient) -> None:
    """Every operation has a summary and a documented body."""
    described = client.get("/openapi.json").json()
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
    assert "SearchResponse" in described["components"]["schemas"]


def test_the_page_of_routes_needs_no_other_server(client: TestClient) -> None:
    """It stands where there is no internet, and names every route and every field of a search."""
    page = client.get("/docs").text
    for path in client.get("/openapi.json").json()["paths"]:
        assert f"<code>{path}</code>" in page
    for name in SearchBody.model_fields:
        assert f"<code>{name}</code>" in page
    without_bodies = re.sub(r"(?s)<textarea>.*?</textarea>", "", page)  # they hold examples
    assert "://" not in without_bodies
    assert "src=" not in without_bodies
