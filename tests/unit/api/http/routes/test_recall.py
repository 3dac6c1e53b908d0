"""The way of recall over HTTP: what a search may ask for, and what its answer says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lance
import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.http.app import create_app
from winnow.retrieval.model.tokenizer import PlainTokenizer

NOTES = [{"id": f"n{at:02}", "text": f"note about bravo {at}"} for at in range(20)] + [
    {"id": "code", "title": "ERR_4711", "text": "note about 天气"}
]


@pytest.fixture
def client(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    parts = parts_over(tmp_path, tokenizer, PrefersWord("bravo"))
    with CheckingClient(create_app(parts), base_url="http://localhost", raise_server_exceptions=False) as client:
        assert client.post("/v1/collections", json={"name": "notes"}).status_code == 201
        assert client.post("/v1/collections/notes/documents", json={"documents": NOTES}).status_code == 200
        yield client


def searched(client: TestClient, query: str, **more: Any) -> Any:
    return client.post("/v1/search", json={"query": query, "collection": "notes", "rerank": False, **more})


def test_the_answer_names_the_way_and_tells_the_scores_apart(client: TestClient) -> None:
    """A write is found by its words at once; BM25 has a field of its own and is the score only in its own order."""
    by_words = searched(client, "err_4711", recall="lexical", explain=True).json()
    assert by_words["recall"] == "lexical"
    assert [each["document_id"] for each in by_words["results"]] == ["code"]
    best = by_words["results"][0]
    assert best["score"] == best["lexical_score"] > 0
    assert -1 <= best["similarity"] <= 1
    assert by_words["explain"][0]["lexical_score"] == best["lexical_score"]
    assert by_words["timings_ms"]["lexical"] is not None

    both = searched(client, "err_4711", recall="hybrid").json()
    assert (both["recall"], both["results"][0]["document_id"]) == ("hybrid", "code")
    assert [each["recall_rank"] for each in both["results"]] == list(range(1, 11))
    assert {each["lexical_score"] for each in both["results"][1:]} == {None}

    assert searched(client, "err_4711").json()["recall"] == "hybrid"
    dense = searched(client, "err_4711", recall="dense").json()
    assert (dense["recall"], dense["timings_ms"]["lexical"]) == ("dense", None)
    assert {each["lexical_score"] for each in dense["results"]} == {None}


def test_the_reranker_judges_whatever_was_found(client: TestClient) -> None:
    """Its order does not depend on the way in which the candidates came."""
    judged = searched(client, "bravo 7", recall="hybrid", rerank=True, min_relevance=0.5, top_k=5).json()
    assert judged["judged_by"] == "prefers-word"
    assert {each["relevance"] for each in judged["results"]} == {0.9}


def test_an_unknown_way_is_refused(client: TestClient) -> None:
    """And named."""
    refused = searched(client, "bravo", recall="sparse")
    assert refused.status_code == 422
    assert "recall" in refused.text


def test_a_collection_without_a_full_text_index_says_what_to_do(client: TestClient, tmp_path: Path) -> None:
    """One that an earlier winnow made is searched by meaning as ever; by words it is refused, not answered emptily."""
    (corpus,) = {manifest.parent.parent for manifest in tmp_path.rglob("*.manifest")}
    dataset = lance.dataset(str(corpus))
    for index in dataset.describe_indices():
        dataset.drop_index(index.name)
    assert client.post("/v1/collections/notes/documents", json={"id": "x", "text": "bravo"}).status_code == 200
    refused = searched(client, "bravo", recall="hybrid")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "words_not_indexed")
    assert "winnow index" in refused.json()["message"]
    assert searched(client, "bravo").status_code == 200
