"""A compaction of some fragments places what it joined behind the others: no reader may count on their order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.builders import DIMENSION, embedded
from tests.faults.watched_syncer import WatchedSyncer
from winnow.retrieval.filters.grammar import parse_filter
from winnow.retrieval.records import Document
from winnow.retrieval.store import lance_store
from winnow.retrieval.store.lance_store import LanceStore

PIECES = [20, 36, 34, 32]  # each of the last two has a segment of words of its own, so its fragment is not joined
SOURCES = [
    embedded(Document(id=f"d{turn}", text=f"text {turn} " * 20, metadata={"turn": turn}), pieces=pieces)
    for turn, pieces in enumerate(PIECES)
]
ALL = sum(PIECES)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store whose oldest fragments were joined, which moved them behind two newer ones."""
    monkeypatch.setattr(lance_store, "SMALL_FRAGMENTS_MAX", len(PIECES) - 1)
    path = tmp_path / "corpus.lance"
    store = LanceStore.create(path, dimension=DIMENSION, syncer=WatchedSyncer())
    for source in [*SOURCES, embedded(Document(id="last", text="this write joins"))]:
        store.replace([source])
    fragments = store.snapshot().dataset.get_fragments()
    firsts = [each.to_table(columns=["number"])["number"][0].as_py() for each in fragments]
    assert firsts == [56, 90, 0, ALL], "no fragment was moved: these tests show nothing"
    return path


def opened(path: Path) -> LanceStore:
    return LanceStore.open(path, dimension=DIMENSION, syncer=WatchedSyncer())


def test_numbers_vectors_and_filters_belong_together(path: Path) -> None:
    """They are those that were written, for every chunk."""
    snapshot = opened(path).snapshot()
    assert snapshot.chunk_numbers().tolist() == list(range(ALL + 1))
    vectors = np.concatenate([source.vectors for source in SOURCES])
    for after in (-1, 40, 60):
        batches = list(snapshot.vectors(after=after))
        assert np.concatenate([batch.numbers for batch in batches]).tolist() == list(range(after + 1, ALL + 1))
        assert np.array_equal(np.concatenate([batch.vectors for batch in batches])[:-1], vectors[after + 1 :])
    for turn, pieces in enumerate(PIECES):
        start = sum(PIECES[:turn])
        wanted = parse_filter({"type": "eq", "key": "turn", "value": turn})
        assert snapshot.numbers_where(wanted).tolist() == list(range(start, start + pieces))
        assert snapshot.document(f"d{turn}") == SOURCES[turn].document
    assert snapshot.misfiled() == []


def test_writes_go_on(path: Path) -> None:
    """A replaced document of a moved fragment is replaced, and nothing else; a clean-up changes nothing."""
    store = opened(path)
    store.replace([embedded(Document(id="d0", text="new"))])
    store.delete(["d2"])
    store.clean_up()
    snapshot = store.snapshot()
    assert snapshot.chunk_numbers().tolist() == [*range(20, 56), *range(90, ALL + 2)]
    assert (snapshot.document("d0").text, snapshot.document("d1")) == ("new", SOURCES[1].document)
    assert snapshot.lexical("new", 5).numbers.tolist() == [ALL + 1]
