"""With the catalog on PostgreSQL each writer takes the collection's lease, and a superseded one fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from starlette.testclient import TestClient

from tests.fakes import HashEmbedder, PrefersWord
from tests.postgres import PostgresServer
from tests.tiny_models import write_embedder
from winnow.api.assemble import Services, wire
from winnow.api.http.app import create_app
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.settings import Settings
from winnow.retrieval.embed.embedder import Vectors
from winnow.retrieval.model.tokenizer import PlainTokenizer

ROW = "SELECT token, expires_ms, needs_fence, next_number FROM writer_leases WHERE collection = 'docs'"


class TakenOver(HashEmbedder):
    """Another host takes the lease while this one embeds, once it is told to."""

    url: str | None = None

    def embed_passages(self, texts: Any) -> Vectors:
        if self.url is not None:
            execute(self.url, "UPDATE writer_leases SET token = token + 1, holder = 'other/1'")
        return super().embed_passages(texts)


def execute(url: str, statement: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        done = connection.execute(statement)
        return done.fetchone() if done.description else None


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.new()


@pytest.fixture
def embedder() -> TakenOver:
    return TakenOver()


@pytest.fixture
def services(tmp_path: Path, url: str, embedder: TakenOver) -> Services:
    tokenizer = PlainTokenizer.load(write_embedder(tmp_path / "models"))
    embedding = LoadedEmbedder(embedder=embedder, tokenizer=tokenizer, runs_on="hash", device="cpu")
    judging = LoadedReranker(reranker=PrefersWord("a"), runs_on="words", device="cpu")
    return wire(replace(Settings(), data=tmp_path / "data", catalog_url=url), embedding, judging)


def test_a_superseded_request_is_answered_as_such(services: Services, url: str, embedder: TakenOver) -> None:
    """With a code of its own, and nothing of it is there; repeated, it goes through."""
    with TestClient(create_app(services), base_url="http://127.0.0.1") as client:
        client.post("/v1/collections", json={"name": "docs"}).raise_for_status()
        path, body = "/v1/collections/docs/documents", {"documents": [{"id": "a", "text": "some text"}]}
        before = execute(url, ROW)
        embedder.url = url
        refused = client.post(path, json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "writer_superseded")
        assert refused.headers["retry-after"] == "1"
        assert client.get(f"{path}/a").status_code == 404
        embedder.url = None
        execute(url, "UPDATE writer_leases SET expires_ms = 1")
        client.post(path, json=body).raise_for_status()
        assert client.get(f"{path}/a").status_code == 200
        client.delete(f"{path}/a").raise_for_status()
    token, expires_ms, needs_fence, next_number = execute(url, ROW)
    assert token > before[0] + 2
    assert (expires_ms, needs_fence) == (0, 0), "released, and fenced after the one that was superseded"
    assert next_number > 0
