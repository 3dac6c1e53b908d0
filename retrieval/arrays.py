"""Set operations on ascending arrays of chunk numbers, and an append-only array."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from winnow.retrieval.records import ChunkNumbers

_SPAN_MAX: Final = 8  # numbers from first to last for each that is there; a table of more would be mostly empty
_FEW: Final = 0.02  # chosen ones of each number; fewer are looked up one by one


def isin_sorted(numbers: ChunkNumbers, others: ChunkNumbers) -> NDArray[np.bool_]:
    """Which of the numbers, in any order, are among the others, which ascend."""
    if not len(others):
        return np.zeros(len(numbers), dtype=np.bool_)
    positions = np.minimum(np.searchsorted(others, numbers), len(others) - 1)
    matches: NDArray[np.bool_] = others[positions] == numbers
    return matches


def mask_sorted(numbers: ChunkNumbers, chosen: ChunkNumbers) -> NDArray[np.bool_]:
    """Which of the numbers are among the chosen; both ascend, and the numbers are usually far more.

    A few are looked up one by one. Many are struck in a table of all numbers from the first to the last, which takes
    a sixth of the time where half of a large index is chosen.
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
    """Those of `some` that are among the others; both ascend."""
    if not len(some) or not len(others):
        return some[:0]
    some = some[np.searchsorted(some, others[0]) : np.searchsorted(some, others[-1], side="right")]
    return some[isin_sorted(some, others)]


def difference_sorted(numbers: ChunkNumbers, others: ChunkNumbers) -> ChunkNumbers:
    """Those of `numbers`, in their order, that are not among the others, which ascend."""
    return numbers[~isin_sorted(numbers, others)]


_GROWTH: Final = 1.5  # times as many rows as there are; memory that is not used yet is not taken from the system yet

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(slots=True)
class _Memory(Generic[Scalar]):
    array: NDArray[Scalar]
    used: int  # rows; those before it never change
    lock: threading.Lock = field(default_factory=threading.Lock)


class AppendOnlyArray(Generic[Scalar]):
    """One version of the array. Safe to share between threads."""

    def __init__(self, memory: _Memory[Scalar], rows: NDArray[Scalar]) -> None:
        self._memory = memory
        self.rows: Final = rows

    @classmethod
    def of(cls, rows: NDArray[Scalar], *, room: int = 0) -> AppendOnlyArray[Scalar]:
        """A copy of these, in memory for `room` rows, or for just as many as there are."""
        memory = _Memory(array=np.empty((max(room, len(rows)), *rows.shape[1:]), dtype=rows.dtype), used=len(rows))
        memory.array[: len(rows)] = rows
        return cls(memory, memory.array[: len(rows)])

    def followed_by(self, new: NDArray[Any]) -> AppendOnlyArray[Scalar]:
        """These rows, and behind them those."""
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
