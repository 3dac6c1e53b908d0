"""Which indexes are searched on a GPU, do they fit there, and may they be believed there?

What is published stays as it is: an exact index, which any machine can open. Where a device is set, the opened index is
copied there in half precision, and stays in the memory of the host as well. From there come the exact similarities of
what the device found, the few vectors that a filter leaves, and the whole answer wherever the device cannot give it.

Rule 1: memory on the device is planned before anything is copied, beside the generation that serves until then; where
there is no room for both, the one before goes first and is searched on the host meanwhile. Rule 2: what the probe
refuses, or what does not fit, is searched on the host, and says so. Rule 3: FAISS lets one thread at a time search an
index on a GPU, and has no lock; here is one. Rule 4: what comes from the device is checked; an index that fails once,
or answers with what it may not, leaves the device for good.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from winnow.retrieval.errors import DeviceUnusable, MemoryTooSmall
from winnow.retrieval.index.backend_probe import Asked, Misdeed, misdeeds
from winnow.retrieval.index.faiss_flat import FAISS_VERSION, FaissFlatIndex, told_of
from winnow.retrieval.index.planner import CPU, DEVICE_COUNT_MIN, Recipe, device_bytes, megabytes
from winnow.retrieval.index.vector_index import Hits, VectorIndex
from winnow.retrieval.model.gpu_memory import GpuMemory
from winnow.retrieval.records import ChunkNumbers, Vectors

DEVICE_K_MAX: Final = 2_048  # hits; more than that FAISS refuses to select on some GPUs
_COMPARED_AGAIN: Final = 16  # hits beyond k whose order is left to the exact vectors
_PROBED: Final = 4  # vectors that must find themselves
_PROBE_TOLERANCE: Final = 1e-3  # similarity, as of an index on the host

_log = logging.getLogger(__name__)
_Host = TypeVar("_Host", bound=VectorIndex)


class Card(Protocol):
    """One device, and the one thing that FAISS does on it."""

    @property
    def name(self) -> str:
        """As it is set: cuda:0."""
        ...

    def memory(self) -> GpuMemory | None:
        """None where nobody knows."""
        ...

    def flat(self, vectors: Vectors) -> Any:
        """A FAISS index of these rows there. Raises `RuntimeError` as FAISS does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Where an index is searched, and why."""

    device: str  # cpu, cuda:0
    reason: str
    fault: str | None = None  # what keeps it from the device that is set; None where nothing does


ON_CPU: Final = Seat(device=CPU, reason="no other device is set")


class _AskTheHost(Exception):
    """The device has no answer to this."""


class _OnCard(FaissFlatIndex):
    """The copy on the device; searched by one thread at a time, until it leaves."""

    def __init__(self, numbers: ChunkNumbers, index: Any) -> None:
        super().__init__(numbers, index)
        self._lock = threading.Lock()

    def given(self, query: Vectors, k: int, held: NDArray[np.bool_] | None) -> tuple[Vectors, NDArray[np.int64]]:
        """As FAISS gives it, unchecked. Never asks for more than may answer: cuVS would fill up with what may not."""
        fetched = min(k, len(self._numbers) if held is None else int(held.sum()))
        if fetched == 0:
            return np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int64)
        row = np.ascontiguousarray(query, dtype=np.float32).reshape(1, -1)
        told = told_of(held)
        with self._lock:
            if self._index is None or fetched > DEVICE_K_MAX:
                raise _AskTheHost
            similarities, positions = self._index.search(row, fetched, params=told)
        return similarities[0], positions[0]

    def asked(self, query: Vectors, k: int, held: NDArray[np.bool_] | None) -> tuple[Vectors, NDArray[np.int64]]:
        """The same, with every position checked. Raises `DeviceUnusable`."""
        try:
            similarities, positions = self.given(query, k, held)
        except RuntimeError as error:
            raise DeviceUnusable(f"FAISS {FAISS_VERSION} fails there: {error}") from error
        is_there = bool(((positions >= 0) & (positions < len(self._numbers))).all())
        if not (is_there and len(np.unique(positions)) == len(positions) and (held is None or held[positions].all())):
            raise DeviceUnusable("it answers with what may not answer, or twice with the same")
        return similarities, positions

    def leave(self) -> None:
        """Frees the memory there, once nobody searches."""
        with self._lock:
            self._index = None


class DeviceFlatIndex:
    """An exact index that is searched on a device; implements `VectorIndex`. Safe to share between threads."""

    def __init__(self, host: FaissFlatIndex, index: Any, *, device: str, needed: int) -> None:
        """`index` is the copy of `host` on the device; `needed` are the bytes that were planned for it there."""
        self._host = host
        self._card = _OnCard(host.numbers, index)
        self._device = device
        self._needed = needed
        self._seat = Seat(
            device=device, reason=f"{len(host.numbers):,} vectors in half precision, {megabytes(needed)} there"
        )

    @property
    def seat(self) -> Seat:
        """Where it is searched now."""
        return self._seat

    @property
    def device_bytes(self) -> int:
        """Planned for it on the device; 0 once it has left."""
        return self._needed

    @property
    def dimension(self) -> int:
        return self._host.dimension

    @property
    def numbers(self) -> ChunkNumbers:
        return self._host.numbers

    @property
    def is_exact(self) -> bool:
        """Half precision decides which vectors are compared in full."""
        return False

    @property
    def selects(self) -> bool:
        return True

    def vectors_of(self, numbers: ChunkNumbers) -> Vectors:
        return self._host.vectors_of(numbers)

    def search(self, query: Vectors, k: int, *, allowed: ChunkNumbers | None = None) -> Hits:
        try:
            found = self._card.search(query, k + _COMPARED_AGAIN if k > 0 else 0, allowed=allowed)
        except _AskTheHost:
            return self._host.search(query, k, allowed=allowed)
        except DeviceUnusable as unusable:
            self.leave(reason=f"it failed on {self._device}", fault=unusable.message)
            _log.error("an index has left %s: %s", self._device, unusable.message)
            return self._host.search(query, k, allowed=allowed)
        similarities = self._host.vectors_of(found.numbers) @ np.asarray(query, dtype=np.float32)
        order = np.lexsort((found.numbers, -similarities))[: max(k, 0)]
        return Hits(numbers=found.numbers[order], similarities=similarities[order])

    def leave(self, *, reason: str, fault: str | None = None) -> None:
        """From now on it is searched on the host; its memory on the device is free when this returns."""
        self._seat = Seat(device=CPU, reason=reason, fault=fault)
        self._card.leave()
        self._needed = 0


class IndexDevice:
    """The device on which exact indexes are searched. One for a process; safe to share between threads."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self._turn = threading.Lock()  # held while one is placed, so that two do not plan with the same memory
        self._misdeeds: frozenset[Misdeed] | None = None

    @property
    def name(self) -> str:
        return self._card.name

    def memory(self) -> GpuMemory | None:
        """Of the device, at this moment; None where nobody knows."""
        return self._card.memory()

    def require_believed(self) -> None:
        """Raises `DeviceUnusable` where a tiny index there does not do what it is told; asked once a process."""
        if self._misdeeds is None:
            try:
                self._misdeeds = frozenset(misdeeds(self._tiny))
            except RuntimeError as error:
                raise DeviceUnusable(f"FAISS {FAISS_VERSION} cannot search on {self.name}: {error}") from error
        if self._misdeeds:
            raise DeviceUnusable(f"FAISS {FAISS_VERSION} on {self.name} {' and '.join(sorted(self._misdeeds))}")

    def foreseen(self, recipe: Recipe, *, count: int, dimension: int) -> Seat:
        """Where a published index of this recipe would be searched; copies nothing."""
        if (kept := _kept(recipe, count)) is not None:
            return kept
        try:
            self.require_believed()
            needed = self._require_room(count, dimension, before=None)
        except (DeviceUnusable, MemoryTooSmall) as refused:
            return _refused(refused.message)
        return Seat(device=self.name, reason=f"{count:,} vectors in half precision, {megabytes(needed)} there")

    def placed(
        self, index: _Host, recipe: Recipe, *, before: VectorIndex | None = None
    ) -> tuple[_Host | DeviceFlatIndex, Seat]:
        """The index on the device, or as it is, and why. `before` serves until this one does; it may have to leave."""
        if (kept := _kept(recipe, len(index.numbers))) is not None:
            return index, kept
        assert isinstance(index, FaissFlatIndex), "an exact index is a flat one. This is a bug."
        try:
            with self._turn:
                there = self._copied(index, before if isinstance(before, DeviceFlatIndex) else None)
        except (DeviceUnusable, MemoryTooSmall) as refused:
            return index, _refused(refused.message)
        return there, there.seat

    def _copied(self, index: FaissFlatIndex, before: DeviceFlatIndex | None) -> DeviceFlatIndex:
        self.require_believed()
        needed = self._require_room(len(index.numbers), index.dimension, before=before)
        try:
            copied = self._card.flat(index.every_vector())
        except (RuntimeError, MemoryError) as error:
            raise DeviceUnusable(f"FAISS {FAISS_VERSION} cannot copy the index to {self.name}: {error}") from error
        there = DeviceFlatIndex(index, copied, device=self.name, needed=needed)
        for number in index.numbers[:: max(1, len(index.numbers) // _PROBED)]:
            vector = index.vectors_of(np.array([number]))[0]
            hits = there.search(vector, 1)
            if there.seat.fault or len(hits.numbers) != 1:
                raise DeviceUnusable(there.seat.fault or f"the vector of chunk {number} finds nothing on {self.name}")
            if hits.similarities[0] < float(vector @ vector) - _PROBE_TOLERANCE:
                raise DeviceUnusable(f"the vector of chunk {number} does not find itself on {self.name}")
        return there

    def _require_room(self, count: int, dimension: int, *, before: DeviceFlatIndex | None) -> int:
        """The bytes that it takes. Raises `MemoryTooSmall`, with figures; nobody's memory is taken to be enough."""
        needed, memory = device_bytes(count=count, dimension=dimension), self._card.memory()
        if memory is None or needed <= memory.free_bytes:
            return needed
        if before is not None and needed <= memory.free_bytes + before.device_bytes:
            _log.warning("an index leaves %s to make room for the next, and is searched on the CPU", self.name)
            before.leave(reason=f"it left {self.name} to make room for the next generation")
            return self._require_room(count, dimension, before=None)
        raise MemoryTooSmall(
            f"an exact index of {count:,} vectors of {dimension} dimensions needs {megabytes(needed)} on {self.name}, "
            f"{megabytes(memory.free_bytes)} of {megabytes(memory.total_bytes)} are free there"
        )

    def _tiny(self, rows: Vectors) -> Asked:
        return _OnCard(np.arange(len(rows), dtype=np.int64), self._card.flat(rows)).given


def _kept(recipe: Recipe, count: int) -> Seat | None:
    """Why an index is searched on the host though a device is set, and should be."""
    if recipe is not Recipe.EXACT:
        return Seat(device=CPU, reason=f"an index by {recipe} is searched on the CPU")
    if count < DEVICE_COUNT_MIN:
        return Seat(device=CPU, reason=f"{count:,} vectors are compared as soon on the CPU")
    return None


def _refused(why: str) -> Seat:
    return Seat(device=CPU, reason="the device that is set cannot take it", fault=why)
