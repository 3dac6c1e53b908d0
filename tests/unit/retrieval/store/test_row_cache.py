"""Rows read through a cache are those of the store, and a second read costs no read of the store."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.builders import DIMENSION, written
from tests.faults.watched_syncer import WatchedSyncer
from winnow.retrieval.store.lance_snapshot import LanceSnapshot
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.store.row_cache import RowCache

PLENTY = 1_000_000  # bytes


@pytest.fixture
def store(tmp_path: Path) -> LanceStore:
    created = LanceStore.create(tmp_path / "corpus.lance", dimension=DIMENSION, syncer=WatchedSyncer())
    created.replace([written("a", "one two", pieces=2), written("民", "三四五", pieces=3)])
    return created


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each read of the store took."""
    counts: list[int] = []
    read = LanceSnapshot._read

    def counted(self: LanceSnapshot, addresses: object, columns: list[str]) -> object:
        rows = read(self, addresses, columns)  # type: ignore[arg-type]
        counts.append(len(rows))
        return rows

    monkeypatch.setattr(LanceSnapshot, "_read", counted)
    return counts


def test_a_row_is_read_once(store: LanceStore, taken: list[int]) -> None:
    cache, snapshot = RowCache(bytes_max=PLENTY), store.snapshot()
    first = snapshot.chunks([3, 0], cache=cache)
    assert snapshot.chunks([0, 1, 3, 0], cache=cache) == snapshot.chunks([0, 1, 3, 0])
    assert snapshot.chunks([3, 0], cache=cache) == first
    assert taken == [2, 1, 3]
    assert cache.state.entries == 3


def test_a_removed_row_does_not_come_back(store: LanceStore) -> None:
    cache = RowCache(bytes_max=PLENTY)
    assert len(store.snapshot().chunks([0, 1, 2, 3, 4], cache=cache)) == 5
    store.delete(["a"])
    store.replace([written("民", "六", pieces=1)])
    assert store.snapshot().chunks([0, 1, 2, 3, 4], cache=cache) == []
    assert [chunk.text for chunk in store.snapshot().chunks([5], cache=cache)] == ["六"]


def test_stores_do_not_mix_their_rows(store: LanceStore, tmp_path: Path) -> None:
    """Chunk numbers start at 0 in each, also in one that was removed and created again."""
    other = LanceStore.create(tmp_path / "other.lance", dimension=DIMENSION, syncer=WatchedSyncer())
    other.replace([written("b", "another", pieces=1)])
    cache = RowCache(bytes_max=PLENTY)
    for each in (store, other, store):
        assert each.snapshot().chunks([0], cache=cache) == each.snapshot().chunks([0])


def test_a_changed_answer_does_not_change_the_cache(store: LanceStore) -> None:
    cache, snapshot = RowCache(bytes_max=PLENTY), store.snapshot()
    snapshot.chunks([0], cache=cache)
    found = snapshot.chunks([0], cache=cache)[0]
    assert isinstance(found.metadata, dict)
    found.metadata["added"] = "by a caller"
    assert "added" not in snapshot.chunks([0], cache=cache)[0].metadata


def test_a_small_cache_answers_rightly_and_stays_small(store: LanceStore) -> None:
    cache, snapshot = RowCache(bytes_max=700), store.snapshot()
    for numbers in ([0, 1, 2], [2, 3, 4], [4, 0]):
        assert snapshot.chunks(numbers, cache=cache) == snapshot.chunks(numbers)
        assert cache.state.bytes <= 700
    assert cache.state.evictions > 0


def test_chunks_at_hand_are_those_of_the_store_or_none(store: LanceStore, taken: list[int]) -> None:
    """Nothing is read for them; a row that was removed is left out, as `chunks` leaves it out."""
    cache, snapshot = RowCache(bytes_max=PLENTY), store.snapshot()
    assert snapshot.chunks_at_hand([0], cache) is None
    expected = snapshot.chunks([0, 1, 2, 3, 4], cache=cache)
    assert snapshot.chunks_at_hand([3, 0, 0], cache) == [expected[3], expected[0], expected[0]]
    store.delete(["a"])
    assert store.snapshot().chunks_at_hand([4, 0, 1], cache) == [expected[4]]
    assert snapshot.chunks_at_hand([], cache) == []
    assert taken == [5]


def test_chunks_at_hand_are_those_of_the_store_and_nobody_can_change_them(store: LanceStore) -> None:
    """They are handed to several requests: the second gets what the first could have written to."""
    cache, snapshot = RowCache(bytes_max=PLENTY), store.snapshot()
    assert snapshot.chunks_at_hand([3, 0], cache) is None
    read = snapshot.chunks([0, 1, 3], cache=cache)
    first, again = snapshot.chunks_at_hand([3, 0], cache), snapshot.chunks_at_hand([0, 1, 3, 0], cache)
    assert first == [read[2], read[0]]
    assert again == [*read, read[0]]
    assert first is not None
    with pytest.raises(TypeError):
        first[1].metadata["added"] = "by a caller"  # type: ignore[index]


def test_chunks_at_hand_stay_within_the_bytes(store: LanceStore) -> None:
    """And are right where only some of them fit, or none."""
    for bytes_max in (700, 4_000, 6_000, PLENTY):
        cache, snapshot = RowCache(bytes_max=bytes_max), store.snapshot()
        for _, numbers in itertools.product(range(3), ([0], [1, 2], [3], [4, 0])):
            expected = snapshot.chunks(numbers, cache=cache)
            assert snapshot.chunks_at_hand(numbers, cache) in (None, expected)
            assert cache.state.bytes <= bytes_max
    assert snapshot.chunks_at_hand([4, 0], cache) is not None
