"""A device that is none: what FAISS does on a GPU, well and badly, on this machine's CPU."""

from __future__ import annotations

import threading
import time
import weakref
from typing import Any

import faiss
import numpy as np

from winnow.retrieval.index.planner import device_bytes
from winnow.retrieval.model.gpu_memory import GpuMemory
from winnow.retrieval.records import Vectors


class FakeCard:
    """Implements `Card`. Its memory is counted, and freed when an index is gone."""

    name = "cuda:0"

    def __init__(self, *, total: int = 80 * 10**9, deaf: bool = False) -> None:
        """`deaf`: without cuVS FAISS ignores who may answer."""
        self.total = total
        self.taken = 0
        self.deaf = deaf
        self.is_known = True  # how much memory there is
        self.fails: str | None = None  # with this, whatever is asked of it
        self.lies = False  # gives the same position again and again
        self.overlapped = False  # two threads were in FAISS at once
        self.searches = 0

    def memory(self) -> GpuMemory | None:
        return GpuMemory(free_bytes=self.total - self.taken, total_bytes=self.total) if self.is_known else None

    def flat(self, vectors: Vectors) -> Any:
        if self.fails:
            raise RuntimeError(self.fails)
        index = _FakeIndex(self, vectors)
        size = device_bytes(count=len(vectors), dimension=vectors.shape[1])
        self.taken += size
        weakref.finalize(index, self._freed, size)
        return index

    def _freed(self, size: int) -> None:
        self.taken -= size


class _FakeIndex:
    """As cuVS: in half precision, one thread at a time, and filled up with repeats."""

    def __init__(self, card: FakeCard, vectors: Vectors) -> None:
        self._card = card
        self._inner: Any = faiss.IndexFlatIP(vectors.shape[1])
        self._inner.add(vectors.astype(np.float16).astype(np.float32))
        self._busy = threading.Lock()

    @property
    def ntotal(self) -> int:
        return int(self._inner.ntotal)

    def search(self, rows: Vectors, k: int, *, params: Any) -> tuple[Vectors, Any]:
        if not self._busy.acquire(blocking=False):
            self._card.overlapped = True
            raise AssertionError("two threads search at once")
        try:
            time.sleep(0)  # another thread may come now
            return self._searched(rows, k, None if self._card.deaf else params)
        finally:
            self._busy.release()

    def _searched(self, rows: Vectors, k: int, params: Any) -> tuple[Vectors, Any]:
        self._card.searches += 1
        if self._card.fails:
            raise RuntimeError(self._card.fails)
        similarities, positions = self._inner.search(rows, k, params=params)
        if self._card.lies:
            positions[:] = positions[0, 0]
        positions[positions < 0] = 0
        return similarities, positions
