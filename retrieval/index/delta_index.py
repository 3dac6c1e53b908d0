"""Exact index of the chunks that no generation contains yet. Grows with every commit.

New chunks are appended, without copying older ones. Removed chunks stay until there are many, since searches check
every hit against the live chunks anyway.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from winnow.retrieval.arrays import AppendOnlyArray
from winnow.retrieval.index.vector_index import ExactIndex
from winnow.retrieval.store.contract import StoreSnapshot

REMOVED_SHARE_MAX: Final = (
    0.25  # of the rows; a removed row costs a search as much as a live one; dropping it copies all
)


class DeltaIndex(ExactIndex):
    """The chunks with a number greater than `after`: all live ones, and some that were removed."""

    def __init__(self, numbers: AppendOnlyArray[np.int64], vectors: AppendOnlyArray[np.float32], *, after: int) -> None:
        super().__init__(numbers.rows, vectors.rows)
        self._arrays = numbers, vectors
        self._after = after

    @classmethod
    def of(cls, snapshot: StoreSnapshot, *, after: int, dimension: int) -> DeltaIndex:
        """Read the chunks from the store."""
        room = snapshot.count(after=after)
        numbers = AppendOnlyArray.of(np.empty(0, dtype=np.int64), room=room)
        vectors = AppendOnlyArray.of(np.empty((0, dimension), dtype=np.float32), room=room)
        return cls._grown(numbers, vectors, snapshot, after=after)

    def followed_by(self, snapshot: StoreSnapshot, *, after: int) -> DeltaIndex:
        """Update to a newer version of the store, possibly with another generation.

        Costs as much as what is new, if the generation is the same and few chunks were removed.
        """
        if after < self._after:  # an older generation took over: the chunks it lacks were never here
            return DeltaIndex.of(snapshot, after=after, dimension=self.dimension)
        numbers, vectors = self._arrays
        last = int(self.numbers[-1]) if len(self.numbers) else after
        live = snapshot.count(after=after) - snapshot.count(after=max(after, last))
        if after > self._after or len(self.numbers) - live > REMOVED_SHARE_MAX * len(self.numbers):
            kept = np.flatnonzero((self.numbers > after) & snapshot.alive(self.numbers))
            numbers, vectors = AppendOnlyArray.of(self.numbers[kept]), AppendOnlyArray.of(self.vectors[kept])
        return DeltaIndex._grown(numbers, vectors, snapshot, after=after)

    @classmethod
    def _grown(
        cls,
        numbers: AppendOnlyArray[np.int64],
        vectors: AppendOnlyArray[np.float32],
        snapshot: StoreSnapshot,
        *,
        after: int,
    ) -> DeltaIndex:
        """Append the chunks that the snapshot has beyond these."""
        last = int(numbers.rows[-1]) if len(numbers.rows) else after
        for batch in snapshot.vectors(after=last):
            numbers, vectors = numbers.followed_by(batch.numbers), vectors.followed_by(batch.vectors)
        return cls(numbers, vectors, after=after)
