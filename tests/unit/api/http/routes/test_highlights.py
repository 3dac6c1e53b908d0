"""`highlight` of searches and reranks over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import FailingReranker, PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.http.app import create_app
from winnow.rerank.reranker import Reranker
from winnow.retrieval.errors import RerankTimeout, RerankUnavailable
from winnow.retrieval.model.tokenizer import PlainTokenizer

ENGLISH = "Our shop sells shoes. You may ask for a refund within fourteen days. Parking is free."
CHINESE = "本店成立于1998年。消费者自收到商品之日起七日内有权退货。😀停车免费。"
DOCUMENTS = [
    {"id": "refunds", "title": "Terms", "text": ENGLISH},
    {"id": "zh", "title": "条款", "text": CHINESE},
]


def client_over(folder: Path, tokenizer: PlainTokenizer, reranker: Reranker) -> CheckingClient:
    return CheckingClient(create_app(parts_over(folder, tokenizer, reranker)), base_url="http://localhost")


@pytest.fixture
def client(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    with client_over(tmp_path, tokenizer, PrefersWord("退货")) as client:
        yield filled(client)


def filled(client: TestClient) -> TestClient:
    client.post("/v1/collections", json={"name": "docs"})
    client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS})
    return client


def search(client: TestClient, **more: Any) -> Any:
    return client.post("/v1/search", json={"query": "退货", "collection": "docs", "highlight": True} | more).json()


def test_highlights_slice_the_text_of_their_result(client: TestClient) -> None:
    """In code points, also behind a character of four bytes; the rest of the answer is as without."""
    found = search(client)
    for result in found["results"]:
        assert [result["text"][each["start"] : each["end"]] for each in result["highlights"]] == [
            each["text"] for each in result["highlights"]
        ]
    best = next(each for each in found["results"] if each["document_id"] == "zh")
    assert best["highlights"] == [
        {"start": 11, "end": 30, "text": "消费者自收到商品之日起七日内有权退货。", "relevance": 0.9}
    ]
    report = found["highlight"]
    assert (report["left_out"], report["reason"], report["tokens"]) == (0, None, 60)
    plain = search(client, highlight=False)
    assert "highlight" not in plain
    assert found["usage"]["rerank_tokens"] == plain["usage"]["rerank_tokens"] + 60
    kept = [{name: value for name, value in each.items() if name != "highlights"} for each in found["results"]]
    assert kept == plain["results"]


def test_a_grouped_answer_has_highlights_of_every_chunk_that_it_shows(client: TestClient) -> None:
    long = {"id": "long", "text": "\n\n".join(f"{ENGLISH} {CHINESE}" for _ in range(20))}
    client.post("/v1/collections/docs/documents", json=long)
    found = search(client, group_by_document=True)
    group = next(each for each in found["results"] if each["document_id"] == "long")
    assert group["other_chunks"]
    for each in (group, *group["other_chunks"]):
        assert [each["text"][span["start"] : span["end"]] for span in each["highlights"]]
        assert all("退货" in span["text"] for span in each["highlights"])


def test_highlights_need_no_reranked_order_but_a_reranker(client: TestClient) -> None:
    """Under rerank: false they are refused."""
    refused = client.post("/v1/search", json={"query": "q", "collection": "docs", "highlight": True, "rerank": False})
    assert refused.status_code == 422
    assert "highlight needs rerank" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("failure", "reason"), [(RerankTimeout("slow"), "timeout"), (RerankUnavailable("gone"), "unavailable")]
)
def test_a_failing_reranker_costs_the_highlights_not_the_answer(
    tmp_path: Path, tokenizer: PlainTokenizer, failure: Any, reason: str
) -> None:
    with client_over(tmp_path, tokenizer, FailingReranker(failure)) as client:
        found = search(filled(client))
    assert (found["degraded"]["reason"], found["highlight"]["reason"], found["highlight"]["left_out"]) == (
        reason, reason, 2,
    )  # fmt: skip
    assert [each["highlights"] for each in found["results"]] == [None, None]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_a_rerank_has_both_shapes(client: TestClient, path: str) -> None:
    """Ours with texts; Cohere's with limits of the caller, and only if it is enabled."""
    body = {"query": "退货", "documents": [ENGLISH, {"text": CHINESE}], "top_n": 1}
    (ours,) = client.post(path, json=body | {"highlight": True}).json()["results"]
    assert [each["text"] for each in ours["highlights"]] == ["消费者自收到商品之日起七日内有权退货。"]
    answer = client.post(path, json=body | {"relevant_spans": {"mode": "enabled", "threshold": 0.5}}).json()
    assert answer["results"][0]["relevant_spans"] == [{"start": 11, "end": 30, "score": 0.9}]
    assert answer["meta"]["winnow"]["highlight"]["left_out"] == 0
    every = client.post(path, json=body | {"relevant_spans": {"threshold": 0}}).json()["results"][0]
    assert [CHINESE[each["start"] : each["end"]] for each in every["relevant_spans"]] == [
        "本店成立于1998年。", "消费者自收到商品之日起七日内有权退货。", "😀停车免费。",
    ]  # fmt: skip
    (one,) = client.post(path, json=body | {"relevant_spans": {"threshold": 0, "max_spans": 1}}).json()["results"]
    assert one["relevant_spans"] == [{"start": 11, "end": 30, "score": 0.9}]
    for off in ({"relevant_spans": {"mode": "disabled"}}, {"highlight": False}, {}):
        answer = client.post(path, json=body | off).json()
        assert not {"highlights", "relevant_spans"} & set(answer["results"][0])
    both = client.post(path, json=body | {"highlight": True, "relevant_spans": {}})
    assert both.status_code == 422


def test_a_document_beyond_the_limit_has_none_and_the_answer_says_so(client: TestClient) -> None:
    documents = ["退货 is a long story. " * 2_000, CHINESE]
    answer = client.post("/v2/rerank", json={"query": "q", "documents": documents, "relevant_spans": {}}).json()
    assert answer["meta"]["warnings"] == ["documents without highlights: 1 (token_limit)"]
    has_spans = {each["index"]: "relevant_spans" in each for each in answer["results"]}
    assert has_spans == {0: False, 1: True}


def test_sentences_are_charged(client: TestClient) -> None:
    """Tokens and relevance scores of a search and of a rerank."""

    def used() -> tuple[int, int]:
        (day,) = client.get("/v1/usage").json()["usage"]
        return day["rerank_tokens"], day["rerank_documents"]

    search(client)
    assert used() == (20 + 60, 2 + 6)
    client.post("/v1/rerank", json={"query": "q", "documents": [ENGLISH], "highlight": True})
    assert used() == (80 + 10 + 30, 8 + 1 + 3)
