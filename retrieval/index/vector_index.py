"""The contract of vector indexes, and the exact index that every implementation is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from winnow.retrieval.arrays import intersect_sorted
from winnow.retrieval.records import ChunkNumbers, Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """The nearest chunks of one query, nearest first; equal similarities in order of chunk number."""

    numbers: ChunkNumbers  # (<= k,) no duplicates, no -1
    similarities: Vectors  # (same,) float32 cosine

    def at(self, places: Sequence[int]) -> Hits:
        """Select hits by position, in this order."""
        return Hits(numbers=self.numbers[places], similarities=self.similarities[places])


class VectorIndex(Protocol):
    """An immutable set of (chunk number, unit vector) pairs that answers nearest-neighbour queries.

    There is no add: a served index never changes (adding during a search crashes FAISS); a new one is built instead.
    """

    @property
    def dimension(self) -> int: ...

    @property
    def numbers(self) -> ChunkNumbers:
        """All chunk numbers, ascending."""
        ...

    @property
    def is_exact(self) -> bool:
        """Whether a search finds the true nearest, and `vectors_of` returns the original vectors."""
        ...

    @property
    def selects(self) -> bool:
        """Whether a search among `allowed` is as good and as fast however few are allowed."""
        ...

    def search(self, query: Vectors, k: int, *, allowed: ChunkNumbers | None = None) -> Hits:
        """Return the `k` nearest; fewer only if the index holds fewer. `query` is (dimension,), unit length.

        If `allowed` is given, ascending, only those; numbers that the index lacks are ignored.
        """
        ...

    def vectors_of(self, numbers: ChunkNumbers) -> Vectors:
        """Return the stored vectors of these numbers, all of which are in the index."""
        ...


class ExactIndex:
    """Computes every similarity by one matrix product in numpy: the oracle, and the small delta of new writes."""

    def __init__(self, numbers: ChunkNumbers, vectors: Vectors) -> None:
        """`numbers` (n,) ascending and unique, `vectors` (n, dimension)."""
        assert len(numbers) == len(vectors), "one number for each vector. This is a bug."
        self._numbers = numbers
        self._vectors = np.ascontiguousarray(vectors, dtype=np.float32)

    @property
    def dimension(self) -> int:
        return int(self._vectors.shape[1])

    @property
    def numbers(self) -> ChunkNumbers:
        return self._numbers

    @property
    def vectors(self) -> Vectors:
        """One row for each of `numbers`."""
        return self._vectors

    @property
    def is_exact(self) -> bool:
        return True

    @property
    def selects(self) -> bool:
        return True

    def search(self, query: Vectors, k: int, *, allowed: ChunkNumbers | None = None) -> Hits:
        if allowed is not None:
            inside = intersect_sorted(allowed, self._numbers)
            return ExactIndex(inside, self.vectors_of(inside)).search(query, k)
        similarities = self._vectors @ query.astype(np.float32)
        order = np.lexsort((self._numbers, -similarities))[:k]
        return Hits(numbers=self._numbers[order], similarities=similarities[order])

    def vectors_of(self, numbers: ChunkNumbers) -> Vectors:
        return self._vectors[np.searchsorted(self._numbers, numbers)]
