"""Set operations on ascending arrays of chunk numbers, and an append-only array."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from winnow.retrieval.records import ChunkNumbers

_SPAN_MAX: Final = 8  # span of the numbers divided by their count; a table for a larger one would be mostly empty
_FEW: Final = 0.02  # share of chosen numbers; for fewer, single lookups are faster


def isin_sorted(numbers: ChunkNumbers, others: ChunkNumbers) -> NDArray[np.bool_]:
    """Return which of the numbers, in any order, are in `others`, which ascend."""
    if not len(others):
        return np.zeros(len(numbers), dtype=np.bool_)
    positions = np.minimum(np.searchsorted(others, numbers), len(others) - 1)
    matches: NDArray[np.bool_] = others[positions] == numbers
    return matches


def mask_sorted(numbers: ChunkNumbers, chosen: ChunkNumbers) -> NDArray[np.bool_]:
    """Return which of the numbers are chosen; both ascend, and there are usually far more numbers.

    A few are looked up one by one. Many are marked in a table from the first to the last number, which takes a sixth of
    the time when half of a large index is chosen.
    """
    if not len(numbers):
        return np.zeros(0, dtype=np.bool_)
    first, last = int(numbers[0]), int(numbers[-1])
    is_dense = last - first < _SPAN_MAX * len(numbers)
    if is_dense and len(chosen) > _FEW * len(numbers):
        inside = chosen[np.searchsorted(chosen, first) : np.searchsorted(chosen, last, side="right")]
        table = np.zeros(last - first + 1, dtype=np.bool_)
        table[inside - first] = True
        struck: NDArray[np.bool_] = table[numbers - first]
        return struck
    positions = np.minimum(np.searchsorted(numbers, chosen), len(numbers) - 1)
    marks = np.zeros(len(numbers), dtype=np.bool_)
    marks[positions[numbers[positions] == chosen]] = True
    return marks


def intersect_sorted(some: ChunkNumbers, others: ChunkNumbers) -> ChunkNumbers:
    """Return the numbers in both arrays; both ascend."""
    if not len(some) or not len(others):
        return some[:0]
    some = some[np.searchsorted(some, others[0]) : np.searchsorted(some, others[-1], side="right")]
    return some[isin_sorted(some, others)]


def difference_sorted(numbers: ChunkNumbers, others: ChunkNumbers) -> ChunkNumbers:
    """Return the numbers, in their order, that are not in `others`, which ascend."""
    return numbers[~isin_sorted(numbers, others)]


_GROWTH: Final = 1.5  # growth factor; unused memory is not yet taken from the system

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(slots=True)
class _Memory(Generic[Scalar]):
    array: NDArray[Scalar]
    used: int  # used rows, which never change
    lock: threading.Lock = field(default_factory=threading.Lock)


class AppendOnlyArray(Generic[Scalar]):
    """One version of the array. Thread-safe."""

    def __init__(self, memory: _Memory[Scalar], rows: NDArray[Scalar]) -> None:
        self._memory = memory
        self.rows: Final = rows

    @classmethod
    def of(cls, rows: NDArray[Scalar], *, room: int = 0) -> AppendOnlyArray[Scalar]:
        """Copy the rows into memory for at least `room` rows."""
        memory = _Memory(array=np.empty((max(room, len(rows)), *rows.shape[1:]), dtype=rows.dtype), used=len(rows))
        memory.array[: len(rows)] = rows
        return cls(memory, memory.array[: len(rows)])

    def followed_by(self, new: NDArray[Any]) -> AppendOnlyArray[Scalar]:
        """Return a version with these rows and the new ones."""
        known, end = len(self.rows), len(self.rows) + len(new)
        memory = self._memory
        with memory.lock:
            is_free = memory.used == known and end <= len(memory.array)
            if is_free:
                memory.used = end
        if not is_free:
            return AppendOnlyArray.of(self.rows, room=max(end, int(_GROWTH * known))).followed_by(new)
        memory.array[known:end] = new
        return AppendOnlyArray(memory, memory.array[:end])
