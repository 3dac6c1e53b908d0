"""retrieval/index/filtered_search.py: only allowed chunks, all of them that are near, whatever the index does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import unit_vectors
from winnow.retrieval.arrays import intersect_sorted, isin_sorted
from winnow.retrieval.index.filtered_search import (
    GATHERED_AT_ONCE,
    GATHERED_MAX,
    GATHERED_SHARE_MAX,
    Way,
    search_allowed,
)
from winnow.retrieval.index.vector_index import ExactIndex, Hits, VectorIndex
from winnow.retrieval.records import ChunkNumbers, Vectors

COUNT = 400
NUMBERS = np.arange(COUNT, dtype=np.int64) * 3 + 5
VECTORS = unit_vectors(COUNT)
QUERIES = unit_vectors(5, seed=1)


class Deaf(ExactIndex):
    """Answers as if nobody had said who may, as FAISS does on a GPU without cuVS."""

    def search(self, query: Vectors, k: int, *, allowed: ChunkNumbers | None = None) -> Hits:
        return super().search(query, k)


class Lossy(ExactIndex):
    """Finds every other one of the allowed, as a graph does under a selector that leaves it few ways."""

    def search(self, query: Vectors, k: int, *, allowed: ChunkNumbers | None = None) -> Hits:
        hits = super().search(query, k, allowed=None if allowed is None else allowed[::2])
        return hits if allowed is not None else super().search(query, k)


class Repeating(ExactIndex):
    """Fills its answers up with one forbidden number, as cuVS IVF does."""

    def search(self, query: Vectors, k: int, *, allowed: ChunkNumbers | None = None) -> Hits:
        hits = super().search(query, max(1, k // 2), allowed=allowed)
        fill = k - len(hits.numbers)
        return Hits(
            numbers=np.append(hits.numbers, np.full(fill, NUMBERS[0])),
            similarities=np.append(hits.similarities, np.full(fill, -9, dtype=np.float32)),
        )


class Watched(ExactIndex):
    """Remembers how many vectors were taken out of it at once."""

    def __init__(self, numbers: ChunkNumbers, vectors: Vectors) -> None:
        super().__init__(numbers, vectors)
        self.gathered: list[int] = []

    def vectors_of(self, numbers: ChunkNumbers) -> Vectors:
        self.gathered.append(len(numbers))
        return super().vectors_of(numbers)


Build = Callable[[ChunkNumbers, Vectors], VectorIndex]
KINDS: list[Build] = [ExactIndex, Deaf, Lossy, Repeating]


def expected(query: Vectors, k: int, allowed: ChunkNumbers) -> Hits:
    inside = np.isin(NUMBERS, allowed)
    return ExactIndex(NUMBERS[inside], VECTORS[inside]).search(query, k)


@pytest.mark.parametrize("build", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.005, 0.05, 0.3, 0.9, 1.0])
def test_only_allowed_chunks_and_never_fewer_than_there_are(build: Build, share: float) -> None:
    """The nearest where the index is not lossy itself, and as many as were asked for in any case."""
    index = build(NUMBERS, VECTORS)
    allowed = NUMBERS[np.random.default_rng(3).random(COUNT) < share]
    for query in QUERIES:
        for k in (1, 10, 150):
            hits, _ = search_allowed(index, query, k, allowed)
            assert len(hits.numbers) == min(k, len(allowed)) == len(set(hits.numbers.tolist()))
            assert set(hits.numbers.tolist()) <= set(allowed.tolist())
            if build not in {Lossy, Repeating}:
                assert hits.numbers.tolist() == expected(query, k, allowed).numbers.tolist()


def test_numbers_that_the_index_does_not_hold_are_passed_over() -> None:
    """An allowed chunk may be newer than the index, or one that it never had."""
    allowed = np.array([-7, 0, 5, 6, 8, 9_999], dtype=np.int64)
    hits, _ = search_allowed(ExactIndex(NUMBERS, VECTORS), QUERIES[0], 10, allowed)
    assert sorted(hits.numbers.tolist()) == [5, 8]


def test_what_is_gathered_is_gathered_in_bounded_blocks() -> None:
    """Memory does not grow with what is allowed, and the answer is that of one block."""
    count = 10 * GATHERED_AT_ONCE + 70
    index = Watched(np.arange(count, dtype=np.int64), unit_vectors(count, dimension=4))
    allowed = np.arange(0, count, 10, dtype=np.int64)
    query = unit_vectors(1, dimension=4, seed=1)[0]
    hits, way = search_allowed(index, query, 50, allowed)
    assert way is Way.GATHERED
    assert index.gathered == [GATHERED_AT_ONCE, 7]
    assert hits.numbers.tolist() == index.search(query, 50, allowed=allowed).numbers.tolist()


class Approximate(ExactIndex):
    """Does not claim to be exact."""

    is_exact = False
    selects = False


@pytest.mark.parametrize(
    ("kind", "allowed", "way"),
    [
        (ExactIndex, int(GATHERED_SHARE_MAX * COUNT), Way.GATHERED),
        (ExactIndex, COUNT // 2, Way.SELECTED),
        (Lossy, COUNT // 2, Way.SELECTED),
        (Lossy, 70, Way.REFILLED),  # half of them are fewer than were asked for
        (Deaf, COUNT // 2, Way.REFILLED),
        (Approximate, COUNT, Way.GATHERED),
    ],
)
def test_the_way_is_told(kind: Build, allowed: int, way: Way) -> None:
    """Few are gathered; many are left to the index; one that did not listen, or lost too many, is asked for more."""
    assert search_allowed(kind(NUMBERS, VECTORS), QUERIES[0], 40, NUMBERS[:allowed])[1] is way


def test_of_an_index_that_is_not_exact_more_are_gathered() -> None:
    """A graph under a selector pays for each forbidden vector on its way, and comparing does not."""
    count = 2 * GATHERED_MAX
    index = Approximate(np.arange(count, dtype=np.int64), unit_vectors(count, dimension=4))
    query = unit_vectors(1, dimension=4, seed=1)[0]
    for allowed, way in ((GATHERED_MAX, Way.GATHERED), (GATHERED_MAX + 1, Way.SELECTED)):
        hits, taken = search_allowed(index, query, 10, np.arange(allowed, dtype=np.int64))
        assert (len(hits.numbers), taken) == (10, way)


@settings(max_examples=200)
@given(
    some=st.lists(st.integers(-5, 40), unique=True).map(sorted),
    others=st.lists(st.integers(-5, 40), unique=True).map(sorted),
)
def test_what_two_ascending_lists_have_in_common(some: list[int], others: list[int]) -> None:
    """As a set intersection says, for any two."""
    one, other = np.array(some, dtype=np.int64), np.array(others, dtype=np.int64)
    assert intersect_sorted(one, other).tolist() == sorted(set(some) & set(others))
    assert isin_sorted(one, other).tolist() == [number in others for number in some]
