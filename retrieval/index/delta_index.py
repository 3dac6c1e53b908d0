"""Which of the chunks that no generation holds yet are nearest? An exact index that grows with every commit.

What a commit brings stands behind what was there, and nothing of that is copied. Removed chunks stay until they are
many, because whoever searches compares every hit with the live chunks anyway.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from winnow.retrieval.arrays import AppendOnlyArray
from winnow.retrieval.index.vector_index import ExactIndex
from winnow.retrieval.store.contract import StoreSnapshot

REMOVED_SHARE_MAX: Final = 0.25  # of the rows; each costs a search what a live one costs, and taking it out copies all


class FreshIndex(ExactIndex):
    """The chunks whose number is greater than `after`: all that are live, and some that were."""

    def __init__(self, numbers: AppendOnlyArray[np.int64], vectors: AppendOnlyArray[np.float32], *, after: int) -> None:
        super().__init__(numbers.rows, vectors.rows)
        self._arrays = numbers, vectors
        self._after = after

    @classmethod
    def of(cls, snapshot: StoreSnapshot, *, after: int, dimension: int) -> FreshIndex:
        """Read from the store."""
        room = snapshot.count(after=after)
        numbers = AppendOnlyArray.of(np.empty(0, dtype=np.int64), room=room)
        vectors = AppendOnlyArray.of(np.empty((0, dimension), dtype=np.float32), room=room)
        return cls._grown(numbers, vectors, snapshot, after=after)

    def followed_by(self, snapshot: StoreSnapshot, *, after: int) -> FreshIndex:
        """The same for a newer version of the store, perhaps beside another generation.

        Costs what is new, as long as the generation is the same and few chunks were removed.
        """
        if after < self._after:  # an older generation took over: what it lacks was never here
            return FreshIndex.of(snapshot, after=after, dimension=self.dimension)
        numbers, vectors = self._arrays
        last = int(self.numbers[-1]) if len(self.numbers) else after
        live = snapshot.count(after=after) - snapshot.count(after=max(after, last))
        if after > self._after or len(self.numbers) - live > REMOVED_SHARE_MAX * len(self.numbers):
            kept = np.flatnonzero((self.numbers > after) & snapshot.alive(self.numbers))
            numbers, vectors = AppendOnlyArray.of(self.numbers[kept]), AppendOnlyArray.of(self.vectors[kept])
        return FreshIndex._grown(numbers, vectors, snapshot, after=after)

    @classmethod
    def _grown(
        cls,
        numbers: AppendOnlyArray[np.int64],
        vectors: AppendOnlyArray[np.float32],
        snapshot: StoreSnapshot,
        *,
        after: int,
    ) -> FreshIndex:
        """These, and what the snapshot has beyond them."""
        last = int(numbers.rows[-1]) if len(numbers.rows) else after
        for batch in snapshot.vectors(after=last):
            numbers, vectors = numbers.followed_by(batch.numbers), vectors.followed_by(batch.vectors)
        return cls(numbers, vectors, after=after)
