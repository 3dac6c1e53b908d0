"""`demote_query_echo` over HTTP: of a search, of a collection, and in what an answer says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import HashEmbedder, PrefersWord
from winnow.api.assemble import wire
from winnow.api.http.app import create_app
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.settings import Settings
from winnow.retrieval.model.tokenizer import PlainTokenizer

QUERY = "where does the heron stand in winter"
DOCUMENTS = [
    {"id": "answer", "text": "In winter the heron will stand at open water, where it finds fish."},
    {"id": "echo", "text": f"Soup on Fridays. {QUERY} {QUERY} {QUERY}"},
]


@pytest.fixture
def client(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    embedding = LoadedEmbedder(embedder=HashEmbedder(), tokenizer=tokenizer, runs_on="hash", device="cpu")
    judging = LoadedReranker(reranker=PrefersWord("Fridays"), runs_on="words", device="cpu")
    parts = wire(Settings(data=tmp_path), embedding, judging)
    with CheckingClient(create_app(parts), base_url="http://localhost") as client:
        made = client.post("/v1/collections", json={"name": "docs"})
        assert made.json()["demote_query_echo"] is False
        assert client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS}).status_code == 200
        yield client


def places(client: TestClient, **asked: Any) -> list[tuple[str, bool]]:
    found = client.post("/v1/search", json={"query": QUERY, "collection": "docs", **asked})
    assert found.status_code == 200, found.text
    return [(each["document_id"], each["demoted"]) for each in found.json()["results"]]


@pytest.mark.parametrize("rerank", [False, True])
def test_a_search_may_ask_for_it(client: TestClient, *, rerank: bool) -> None:
    """Off by default; the echo is still there, last and marked, also where more are shown than it takes."""
    assert places(client, rerank=rerank)[0] == ("echo", False)
    assert places(client, rerank=rerank, demote_query_echo=True) == [("answer", False), ("echo", True)]
    assert places(client, rerank=rerank, demote_query_echo=True, top_k=1) == [("answer", False)]


def test_a_collection_may_have_it(client: TestClient) -> None:
    """Chosen once for all searches; one that says otherwise is obeyed, and null is off again."""
    for said, first in ((True, "answer"), (None, "echo"), (True, "answer"), (False, "echo")):
        changed = client.patch("/v1/collections/docs", json={"demote_query_echo": said})
        assert changed.json()["demote_query_echo"] is bool(said)
        assert places(client)[0][0] == first
        assert places(client, demote_query_echo=False)[0][0] == "echo"
    assert client.patch("/v1/collections/docs", json={}).json()["demote_query_echo"] is False
    made = client.post("/v1/collections", json={"name": "guarded", "demote_query_echo": True})
    assert made.json()["demote_query_echo"] is True
