"""Searches exact indexes on a GPU if they fit there and the GPU answers correctly.

What is published stays an exact index that any machine can open. If a device is set, the opened index is copied to it
in half precision and also stays in host memory. The host copy provides the exact similarities of the hits, the few
vectors that a filter leaves, and the whole answer whenever the device cannot give it.

Rule 1: device memory is planned before anything is copied, in addition to the generation that serves until then. If
there is no room for both, the old one leaves first and is searched on the host in the meantime.
Rule 2: an index that fails the probe or does not fit is searched on the host, which is reported.
Rule 3: FAISS lets only one thread at a time search a GPU index, and has no lock; here is one.
Rule 4: answers from the device are checked. An index that fails once, or returns excluded vectors, leaves the device
for good.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from winnow.retrieval.errors import DeviceUnusable, MemoryTooSmall
from winnow.retrieval.index.backend_probe import IndexFault, RawSearch, find_faults
from winnow.retrieval.index.faiss_flat import FAISS_VERSION, FaissFlatIndex, search_parameters
from winnow.retrieval.index.planner import CPU, DEVICE_COUNT_MIN, Recipe, device_bytes, megabytes
from winnow.retrieval.index.vector_index import Hits, VectorIndex
from winnow.retrieval.model.gpu_memory import GpuMemory
from winnow.retrieval.records import ChunkNumbers, Vectors

DEVICE_K_MAX: Final = 2_048  # hits; FAISS cannot select more on some GPUs
_COMPARED_AGAIN: Final = 16  # extra hits, reordered by the exact vectors
_PROBED: Final = 4  # vectors that must find themselves
_PROBE_TOLERANCE: Final = 1e-3  # similarity, as for an index on the host

_log = logging.getLogger(__name__)
_Host = TypeVar("_Host", bound=VectorIndex)


class Card(Protocol):
    """A device and the one operation of FAISS on it."""

    @property
    def name(self) -> str:
        """As in the settings: cuda:0."""
        ...

    def memory(self) -> GpuMemory | None:
        """None if unknown."""
        ...

    def flat(self, vectors: Vectors) -> Any:
        """Build a FAISS index of these rows on the device. Raises `RuntimeError` as FAISS does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Where an index is searched, and why."""

    device: str  # cpu, cuda:0
    reason: str
    fault: str | None = None  # why it is not on the configured device; None if nothing is wrong


ON_CPU: Final = Seat(device=CPU, reason="no other device is set")


class _AskTheHost(Exception):
    """The device cannot answer this query."""


class _OnCard(FaissFlatIndex):
    """The copy on the device; searched by one thread at a time, until it leaves."""

    def __init__(self, numbers: ChunkNumbers, index: Any) -> None:
        super().__init__(numbers, index)
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """The device compares all vectors faster than codes of them are made."""

    def search_raw(self, query: Vectors, k: int, held: NDArray[np.bool_] | None) -> tuple[Vectors, NDArray[np.int64]]:
        """The answer of FAISS, unchecked. Asks for at most the allowed count: cuVS would pad with excluded vectors."""
        fetched = min(k, len(self._numbers) if held is None else int(held.sum()))
        if fetched == 0:
            return np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int64)
        row = np.ascontiguousarray(query, dtype=np.float32).reshape(1, -1)
        told = search_parameters(held)
        with self._lock:
            if self._index is None or fetched > DEVICE_K_MAX:
                raise _AskTheHost
            similarities, positions = self._index.search(row, fetched, params=told)
        return similarities[0], positions[0]

    def raw_search(self, query: Vectors, k: int, held: NDArray[np.bool_] | None) -> tuple[Vectors, NDArray[np.int64]]:
        """The answer with every position checked. Raises `DeviceUnusable`."""
        try:
            similarities, positions = self.search_raw(query, k, held)
        except RuntimeError as error:
            raise DeviceUnusable(f"FAISS {FAISS_VERSION} failed on the device: {error}") from error
        is_there = bool(((positions >= 0) & (positions < len(self._numbers))).all())
        if not (is_there and len(np.unique(positions)) == len(positions) and (held is None or held[positions].all())):
            raise DeviceUnusable("it returned excluded vectors, or the same one twice")
        return similarities, positions

    def leave(self) -> None:
        """Free the device memory, after a search in progress."""
        with self._lock:
            self._index = None


class DeviceFlatIndex:
    """An exact index searched on a device; implements `VectorIndex`. Thread-safe."""

    def __init__(self, host: FaissFlatIndex, index: Any, *, device: str, needed: int) -> None:
        """`index` is the copy of `host` on the device; `needed` is the device memory planned for it, in bytes."""
        self._host = host
        self._card = _OnCard(host.numbers, index)
        self._device = device
        self._needed = needed
        self._seat = Seat(
            device=device, reason=f"{len(host.numbers):,} vectors in half precision, {megabytes(needed)} on the device"
        )

    @property
    def seat(self) -> Seat:
        """Where it is searched now."""
        return self._seat

    @property
    def device_bytes(self) -> int:
        """Device memory planned for it; 0 after it has left."""
        return self._needed

    @property
    def dimension(self) -> int:
        return self._host.dimension

    @property
    def numbers(self) -> ChunkNumbers:
        return self._host.numbers

    @property
    def is_exact(self) -> bool:
        """False: half precision decides which vectors are compared in full."""
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
            _log.error("an index was moved from %s to the CPU: %s", self._device, unusable.message)
            return self._host.search(query, k, allowed=allowed)
        similarities = self._host.vectors_of(found.numbers) @ np.asarray(query, dtype=np.float32)
        order = np.lexsort((found.numbers, -similarities))[: max(k, 0)]
        return Hits(numbers=found.numbers[order], similarities=similarities[order])

    def leave(self, *, reason: str, fault: str | None = None) -> None:
        """Search on the host from now on; the device memory is free when this returns."""
        self._seat = Seat(device=CPU, reason=reason, fault=fault)
        self._card.leave()
        self._needed = 0


class IndexDevice:
    """The device for searching exact indexes. One per process; thread-safe."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self._turn = threading.Lock()  # held while an index is placed, so that two do not plan with the same memory
        self._faults: frozenset[IndexFault] | None = None

    @property
    def name(self) -> str:
        return self._card.name

    def memory(self) -> GpuMemory | None:
        """Memory of the device now; None if unknown."""
        return self._card.memory()

    def require_correct(self) -> None:
        """Raise `DeviceUnusable` if a tiny index on the device gives wrong answers; tested once per process."""
        if self._faults is None:
            try:
                self._faults = frozenset(find_faults(self._tiny))
            except RuntimeError as error:
                raise DeviceUnusable(f"FAISS {FAISS_VERSION} cannot search on {self.name}: {error}") from error
        if self._faults:
            raise DeviceUnusable(f"FAISS {FAISS_VERSION} on {self.name} {' and '.join(sorted(self._faults))}")

    def predict_placement(self, recipe: Recipe, *, count: int, dimension: int) -> Seat:
        """Predict where an index of this recipe would be searched; copies nothing."""
        if (kept := _host_by_design(recipe, count)) is not None:
            return kept
        try:
            self.require_correct()
            needed = self._require_room(count, dimension, before=None)
        except (DeviceUnusable, MemoryTooSmall) as refused:
            return _host_after_fault(refused.message)
        return Seat(device=self.name, reason=f"{count:,} vectors in half precision, {megabytes(needed)} on the device")

    def place(
        self, index: _Host, recipe: Recipe, *, before: VectorIndex | None = None
    ) -> tuple[_Host | DeviceFlatIndex, Seat]:
        """Copy the index to the device, or keep it on the host, and say why. `before` serves until then."""
        if (kept := _host_by_design(recipe, len(index.numbers))) is not None:
            return index, kept
        assert isinstance(index, FaissFlatIndex), "an exact index is a flat one. This is a bug."
        try:
            with self._turn:
                there = self._copy_to_device(index, before if isinstance(before, DeviceFlatIndex) else None)
        except (DeviceUnusable, MemoryTooSmall) as refused:
            return index, _host_after_fault(refused.message)
        return there, there.seat

    def _copy_to_device(self, index: FaissFlatIndex, before: DeviceFlatIndex | None) -> DeviceFlatIndex:
        self.require_correct()
        needed = self._require_room(len(index.numbers), index.dimension, before=before)
        try:
            copied = self._card.flat(index.all_vectors())
        except (RuntimeError, MemoryError) as error:
            raise DeviceUnusable(f"FAISS {FAISS_VERSION} cannot copy the index to {self.name}: {error}") from error
        there = DeviceFlatIndex(index, copied, device=self.name, needed=needed)
        for number in index.numbers[:: max(1, len(index.numbers) // _PROBED)]:
            vector = index.vectors_of(np.array([number]))[0]
            hits = there.search(vector, 1)
            if there.seat.fault or len(hits.numbers) != 1:
                raise DeviceUnusable(there.seat.fault or f"a search on {self.name} finds nothing for chunk {number}")
            if hits.similarities[0] < float(vector @ vector) - _PROBE_TOLERANCE:
                raise DeviceUnusable(f"a search on {self.name} for the vector of chunk {number} misses that chunk")
        return there

    def _require_room(self, count: int, dimension: int, *, before: DeviceFlatIndex | None) -> int:
        """Return the bytes needed. Raises `MemoryTooSmall`, with figures; unknown memory counts as enough."""
        needed, memory = device_bytes(count=count, dimension=dimension), self._card.memory()
        if memory is None or needed <= memory.free_bytes:
            return needed
        if before is not None and needed <= memory.free_bytes + before.device_bytes:
            _log.warning("moving an index from %s to the CPU to make room for the next generation", self.name)
            before.leave(reason=f"it left {self.name} to make room for the next generation")
            return self._require_room(count, dimension, before=None)
        raise MemoryTooSmall(
            f"an exact index of {count:,} vectors with {dimension} dimensions needs {megabytes(needed)}; {self.name} "
            f"has {megabytes(memory.free_bytes)} of {megabytes(memory.total_bytes)} free"
        )

    def _tiny(self, rows: Vectors) -> RawSearch:
        return _OnCard(np.arange(len(rows), dtype=np.int64), self._card.flat(rows)).search_raw


def _host_by_design(recipe: Recipe, count: int) -> Seat | None:
    """Why an index is searched on the host by design, although a device is set."""
    if recipe is not Recipe.EXACT:
        return Seat(device=CPU, reason=f"{recipe} indexes are searched on the CPU")
    if count < DEVICE_COUNT_MIN:
        return Seat(device=CPU, reason=f"{count:,} vectors are compared as fast on the CPU")
    return None


def _host_after_fault(why: str) -> Seat:
    return Seat(device=CPU, reason="the configured device cannot hold it", fault=why)
