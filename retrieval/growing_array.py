"""How does an array grow with every version, without a copy and without changing what holders of older versions see?

Rows are put behind those that are there, in the same memory. Whoever holds an older version sees the beginning that it
knew. A second follower of one version, or one that finds the memory full, moves to memory of its own.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

_GROWTH: Final = 1.5  # times as many rows as there are; memory that is not used yet is not taken from the system yet

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(slots=True)
class _Memory(Generic[Scalar]):
    array: NDArray[Scalar]
    used: int  # rows; those before it never change
    lock: threading.Lock = field(default_factory=threading.Lock)


class GrowingArray(Generic[Scalar]):
    """One version of the array. Safe to share between threads."""

    def __init__(self, memory: _Memory[Scalar], rows: NDArray[Scalar]) -> None:
        self._memory = memory
        self.rows: Final = rows

    @classmethod
    def of(cls, rows: NDArray[Scalar], *, room: int = 0) -> GrowingArray[Scalar]:
        """A copy of these, in memory for `room` rows, or for just as many as there are."""
        memory = _Memory(array=np.empty((max(room, len(rows)), *rows.shape[1:]), dtype=rows.dtype), used=len(rows))
        memory.array[: len(rows)] = rows
        return cls(memory, memory.array[: len(rows)])

    def followed_by(self, new: NDArray[Any]) -> GrowingArray[Scalar]:
        """These rows, and behind them those."""
        known, end = len(self.rows), len(self.rows) + len(new)
        memory = self._memory
        with memory.lock:
            is_free = memory.used == known and end <= len(memory.array)
            if is_free:
                memory.used = end
        if not is_free:
            return GrowingArray.of(self.rows, room=max(end, int(_GROWTH * known))).followed_by(new)
        memory.array[known:end] = new
        return GrowingArray(memory, memory.array[:end])
