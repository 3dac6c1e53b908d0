"""A collection in float16 answers, to the bit, like one in float32 that was given the rounded vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import HashEmbedder, PrefersWord
from tests.snapshots import Watched
from winnow.api.assemble import Services, wire
from winnow.api.collections.adoption import Presumed, adopt
from winnow.api.collections.backups import restore, snapshot
from winnow.api.collections.data_folder import DataFolder
from winnow.api.diagnostics.verify import verified
from winnow.api.http.app import create_app
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.settings import Settings
from winnow.retrieval.backup.place import FolderPlace
from winnow.retrieval.embed.embedder import Embeddings
from winnow.retrieval.generation.history import fold
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import DEFAULT_TENANT
from winnow.retrieval.vector_format import VectorFormat

TEXTS = [
    f"{animal} {verb} {place} {number}"
    for number, (animal, verb, place) in enumerate(
        (animal, verb, place)
        for animal in ("heron", "otter", "badger", "stork")
        for verb in ("sleeps", "hunts", "waits")
        for place in ("by the river", "in the reeds", "on a branch")
    )
]
SEARCHES: tuple[dict[str, Any], ...] = (
    {"query": "heron hunts", "recall": "dense"},
    {"query": "otter by the river", "recall": "hybrid", "explain": True},
    {"query": "stork", "recall": "dense", "filter": {"type": "eq", "key": "group", "value": 1}},
    {"query": "badger waits", "recall": "dense", "filter": {"type": "gte", "key": "group", "value": 1}, "top_k": 30},
    {"query": "reeds", "rerank": True},
    {"query": "heron sleeps", "collapse": {"cosine": 0.9}, "recall": "dense"},
    {"query": "branch", "mmr_lambda": 0.3, "recall": "dense"},
)


class Rounded(HashEmbedder):
    """The oracle: its passages are what float16 leaves of them."""

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        embedded = await super().embed_passages(texts)
        return replace(embedded, vectors=embedded.vectors.astype(np.float16).astype(np.float32))


class Side:
    """One of the two services."""

    def __init__(self, client: TestClient, parts: Services) -> None:
        self.client = client
        self.parts = parts

    def write(self, documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
        answer = self.client.post("/v1/collections/docs/documents", json={"documents": documents})
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return said

    def fold(self) -> bytes:
        """Build the index; return its checksums of vectors."""
        opened = self.parts.collections.get(DEFAULT_TENANT, "docs")
        manifest = fold(opened.folder, opened.store.snapshot(), opened.collection.embedder)
        opened.searchable.refresh()
        return (opened.folder.generations / manifest.name / "vectors.sums").read_bytes()

    def answers(self) -> list[dict[str, Any]]:
        """Answers without what differs from one call to the next."""
        found = []
        for body in SEARCHES:
            asked = {"collection": "docs", "rerank": False, "top_k": 12, "candidates": 30, **body}
            answer = self.client.post("/v1/search", json=asked)
            assert answer.status_code == 200, answer.text
            found.append({key: value for key, value in answer.json().items() if key not in {"id", "timings_ms"}})
        return found


def documents(numbers: range, *, suffix: str = "") -> list[dict[str, Any]]:
    return [
        {"id": f"d{number}", "text": TEXTS[number] + suffix, "metadata": {"group": number % 3}} for number in numbers
    ]


@pytest.fixture
def sides(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[tuple[Side, Side]]:
    with ExitStack() as stack:
        made = []
        for name, embedder, stored_as in (
            ("halved", HashEmbedder(), VectorFormat.FLOAT16),
            ("oracle", Rounded(), VectorFormat.FLOAT32),
        ):
            embedding = LoadedEmbedder(embedder=embedder, tokenizer=tokenizer, runs_on="hash", device="cpu")
            judging = LoadedReranker(reranker=PrefersWord("reeds"), runs_on="words", device="cpu")
            parts = wire(Settings(data=tmp_path / name), embedding, judging)
            client = stack.enter_context(CheckingClient(create_app(parts), base_url="http://localhost"))
            answer = client.post("/v1/collections", json={"name": "docs", "vectors": stored_as})
            assert (answer.status_code, answer.json()["vectors"]) == (201, stored_as)
            made.append(Side(client, parts))
        yield made[0], made[1]


def test_every_search_answers_like_the_oracle(sides: tuple[Side, Side]) -> None:
    """Newer than the index, in the index, beside it, after upserts and deletes, and from an index built anew."""
    halved, oracle = sides
    lost, nothing = (side.write(documents(range(20)))["cosine_loss"] for side in sides)
    assert 0 < lost < 5e-4
    assert nothing is None
    assert halved.answers() == oracle.answers()
    assert halved.fold() == oracle.fold()
    assert halved.answers() == oracle.answers()
    for side in sides:
        side.write(documents(range(20, len(TEXTS))))
        side.write(documents(range(3), suffix=" again"))
        assert side.client.delete("/v1/collections/docs/documents/d7").status_code == 200
    assert halved.answers() == oracle.answers()
    assert halved.fold() == oracle.fold()
    assert halved.answers() == oracle.answers()
    assert [check.fault for side in sides for check in verified(side.parts.disk) if check.fault] == []


def test_a_copy_and_a_folder_without_its_catalog_keep_the_format(sides: tuple[Side, Side], tmp_path: Path) -> None:
    """And the vectors, to the bit."""
    halved, _ = sides
    halved.write(documents(range(9)))
    halved.fold()
    disk, other = halved.parts.disk, DataFolder.open(tmp_path / "other")
    identity = halved.parts.embedding.embedder.identity
    snapshot(disk, DEFAULT_TENANT, "docs", FolderPlace(tmp_path / "copy"), watcher=Watched())
    restore(
        other, DEFAULT_TENANT, "docs", FolderPlace(tmp_path / "copy"), embedder=identity, replace=False,
        watcher=Watched(),
    )  # fmt: skip
    other.catalog.collections.remove(DEFAULT_TENANT, "docs")
    adopt(other, DEFAULT_TENANT, "docs", presumed=Presumed(embedder=lambda: identity, chunk_tokens=100))
    stores = [each.store(each.catalog.collections.get(DEFAULT_TENANT, "docs")) for each in (disk, other)]
    numbers = stores[0].snapshot().chunk_numbers().tolist()
    assert [store.vector_format for store in stores] == [VectorFormat.FLOAT16] * 2
    np.testing.assert_array_equal(*(store.snapshot().vectors_of(numbers) for store in stores))
    assert [check.fault for check in verified(other) if check.fault] == []
