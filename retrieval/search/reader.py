"""The searchable state of a collection: the newest generation, corrected by later writes.

    generation   an index of the chunks that were live when it was built
    delta        all newer chunks, compared exactly
    live         the content of the store's newest version; nothing else is ever returned

A view joins the three and never changes: its holder sees one version of everything, however long it takes. Following a
commit is cheap, and searches do it. A new generation must be read and checked first, which may take seconds, so it is
opened in the background while the current one continues to serve.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol

from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import CollectionNotReady, GenerationCorrupt, WinnowError
from winnow.retrieval.files.layout import VECTORS_FILE, CollectionFolder
from winnow.retrieval.generation.open import Generation, open_checked, open_newest
from winnow.retrieval.generation.pointer import current_name
from winnow.retrieval.index.delta_index import DeltaIndex
from winnow.retrieval.index.faiss_ann import FaissApproximateIndex
from winnow.retrieval.index.faiss_flat import FaissFlatIndex
from winnow.retrieval.index.filtered_search import Filtered, merge_hits, search_allowed
from winnow.retrieval.index.gpu_index import ON_CPU, DeviceFlatIndex, IndexDevice, Seat
from winnow.retrieval.index.planner import Recipe, vector_bytes
from winnow.retrieval.index.vector_index import Hits, VectorIndex
from winnow.retrieval.records import ChunkNumbers, Vectors
from winnow.retrieval.store.contract import Store, StoreSnapshot

REFRESH_SECONDS: Final = (
    0.5  # between two checks for other processes' commits; a check takes time, and 1 s is guaranteed
)
AGE_SECONDS_MAX: Final = 1.0  # of a view, also where a check takes long
REMOVED_AHEAD: Final = 8  # removed chunks expected in any list of the nearest
QUICK_BYTES: Final = 16_000_000  # of vectors or codes; comparing them takes half a millisecond

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexMemory:
    """Bytes in main memory."""

    vectors: int  # in full: of an exact index, and of chunks that no index has yet
    codes: int  # of an approximate index, or those that an exact one compares first


@dataclass(frozen=True, slots=True, kw_only=True)
class Searcher:
    """One state of a collection."""

    snapshot: StoreSnapshot
    opened: Generation | None
    delta: DeltaIndex
    fallback_from: str | None  # why this is not the current generation; None if it is

    @property
    def generation(self) -> str | None:
        """The generation's name; None if everything is served from the delta."""
        return self.opened.name if self.opened else None

    @property
    def seat(self) -> Seat:
        """The device that searches its index at this moment."""
        if self.opened is None:
            return ON_CPU
        index = self.opened.index
        return index.seat if isinstance(index, DeviceFlatIndex) else self.opened.seat

    @property
    def store_version(self) -> int:
        return self.snapshot.version

    @property
    def delta_count(self) -> int:
        """Chunks compared outside the generation, including a few removed ones; many are a reason to publish."""
        return len(self.delta.numbers)

    @property
    def unfolded(self) -> int:
        """How far the generation is behind: newer chunks, and removed ones in it that every search skips."""
        fresh = self.snapshot.count(after=_last_covered(self.opened))
        indexed = len(self.opened.index.numbers) if self.opened else 0
        return fresh + indexed - (self.snapshot.count() - fresh)

    @property
    def memory(self) -> IndexMemory:
        vectors, codes = vector_bytes(len(self.delta.numbers), self.delta.dimension), 0
        if self.opened is not None:
            index, manifest = self.opened.index, self.opened.manifest
            if manifest.index.recipe.stored is Recipe.EXACT:
                vectors += vector_bytes(len(index.numbers), index.dimension)
                codes = index.code_bytes if isinstance(index, FaissFlatIndex) else 0
            else:
                codes = manifest.files[VECTORS_FILE].bytes
        return IndexMemory(vectors=vectors, codes=codes)

    @property
    def is_quick(self) -> bool:
        """Whether comparing all chunks takes about as long as handing the work to a thread."""
        compared = vector_bytes(len(self.delta.numbers), self.delta.dimension)
        if self.opened is not None:
            index = self.opened.index
            if isinstance(index, FaissApproximateIndex):
                if not index.is_quick:
                    return False
            elif isinstance(index, FaissFlatIndex):
                compared += index.code_bytes or vector_bytes(len(index.numbers), index.dimension)
            else:
                return False
        return compared <= QUICK_BYTES

    def shows(self, snapshot: StoreSnapshot, opened: Generation | None, fallback_from: str | None) -> bool:
        """Whether this is the view of these three."""
        return self.snapshot is snapshot and self.opened is opened and self.fallback_from == fallback_from

    def search(self, vector: Vectors, k: int) -> Hits:
        """Return the `k` nearest live chunks of the collection, as if all were in one index."""
        fresh = self.snapshot.count(after=_last_covered(self.opened))
        found = [self._nearest_live(self.delta, vector, k, live=fresh)] if fresh or not self.opened else []
        if self.opened:
            found.append(self._nearest_live(self.opened.index, vector, k, live=self.snapshot.count() - fresh))
        return merge_hits(found, k)

    def search_matching(self, vector: Vectors, k: int, matching: ChunkNumbers) -> tuple[Hits, Filtered]:
        """Return the `k` nearest of the matching live chunks, ascending in `matching`, and how they were found.

        The reported way is the generation's; the delta is small, and compared one by one.
        """
        fresh, way = search_allowed(self.delta, vector, k, matching)
        found = [fresh]
        if self.opened:
            hits, way = search_allowed(self.opened.index, vector, k, matching)
            found.append(hits)
        return merge_hits(found, k), Filtered(matching=len(matching), of=self.snapshot.count(), way=way)

    def _nearest_live(self, index: VectorIndex, vector: Vectors, k: int, *, live: int) -> Hits:
        """Search for more hits if removed chunks take places; every number is checked against the live ones here.

        `live` of the index's chunks are live. Twice the average number of removed chunks among the nearest is added at
        once, because searching again costs as much as the first search.
        """
        removed = len(index.numbers) - live
        asked = k + min(removed, REMOVED_AHEAD + 2 * k * removed // max(1, len(index.numbers))) if removed else k
        while True:
            hits = index.search(vector, asked)
            alive = self.snapshot.alive(hits.numbers)
            if int(alive.sum()) >= k or asked >= len(index.numbers):
                return Hits(numbers=hits.numbers[alive][:k], similarities=hits.similarities[alive][:k])
            asked = min(2 * asked + int((~alive).sum()), len(index.numbers))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    """What is open."""

    opened: Generation | None
    fault: str | None  # why it is not what should be open
    pointer: str | None  # the name in `current` when it was opened


class HasViews(Protocol):
    """What recall searches."""

    def view(self) -> Searcher: ...

    def view_at_hand(self) -> Searcher | None:
        """Return what `view` would, or None if the disk has to be looked at first. Never blocks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedView:
    """One state, whatever is written or published meanwhile."""

    searcher: Searcher

    def view(self) -> Searcher:
        return self.searcher

    def view_at_hand(self) -> Searcher:
        return self.searcher


class IndexReader:
    """An open collection. Its views follow the store and the published generations. Thread-safe."""

    def __init__(
        self,
        *,
        folder: CollectionFolder,
        store: Store,
        identity: EmbedderIdentity,
        device: IndexDevice | None = None,
    ) -> None:
        """`identity` is the loaded embedder's; opening a generation of another one raises `ModelMismatch`.

        Exact indexes are searched on the `device`; without one, all are searched on the CPU.
        """
        self._folder = folder
        self._device = device
        self._store = store
        self._identity = identity
        self._lock = threading.Lock()  # held while a view is created
        self._opening = threading.Lock()  # held while a generation is opened
        self._checking = threading.Lock()  # held while the disk is checked in the background
        self._newest: Searcher | None = None
        self._served = _Served(opened=None, fault=None, pointer=None)
        self._checked_at = 0.0  # time.monotonic()

    @property
    def newest(self) -> Searcher | None:
        """The last view, without checking the disk; None before the first."""
        return self._newest

    def view(self) -> Searcher:
        """Return the newest state, at most a second old. Raises `CollectionNotReady` if there is nothing to search."""
        newest = self._newest
        age = time.monotonic() - self._checked_at
        # One checks, and the others need not wait for it until the second is over.
        if newest is None or age >= AGE_SECONDS_MAX or (age >= REFRESH_SECONDS and not self._lock.locked()):
            newest = self.follow()
        if newest.opened is None and not newest.snapshot.count():
            raise CollectionNotReady(self._folder.path.name)
        return newest

    def view_at_hand(self) -> Searcher | None:
        newest, age = self._newest, time.monotonic() - self._checked_at
        if newest is None or age >= AGE_SECONDS_MAX:
            return None
        if age >= REFRESH_SECONDS and self._checking.acquire(blocking=False):
            threading.Thread(target=self._check_in_background, name="check-collection", daemon=True).start()
        return newest if newest.opened is not None or newest.snapshot.count() else None

    def follow(self) -> Searcher:
        """Return a state with every commit acknowledged before this call. New generations appear once they are open."""
        newest = self._newest
        if newest is None:
            return self.refresh()
        if current_name(self._folder) != self._served.pointer and not self._opening.locked():
            threading.Thread(target=self._open_in_background, name="open-generation", daemon=True).start()
        return self._update_view()

    def refresh(self) -> Searcher:
        """Return a state with every commit and publication acknowledged before this call."""
        with self._opening:
            pointer = current_name(self._folder)
            if self._newest is None or pointer != self._served.pointer:
                self._served = self._open(pointer)
            return self._update_view()

    def view_through(self, generation: str | None) -> Searcher:
        """Return the newest documents searched through an earlier generation, or through none: all compared exactly.

        Raises `GenerationCorrupt` if it is gone or damaged. It is read and checked, which may take seconds.
        """
        opened = None
        if generation is not None:
            manifest, index = open_checked(self._folder.generations / generation, self._store)
            opened = Generation(manifest=manifest, index=index)
        snapshot = self._store.snapshot()
        return Searcher(
            snapshot=snapshot,
            opened=opened,
            delta=_delta(snapshot, opened, before=None, dimension=self._identity.dimension),
            fallback_from=None,
        )

    def _check_in_background(self) -> None:
        """Look for newer states, so that a search in the event loop finds a young view and needs no thread."""
        try:
            self.follow()
        except WinnowError as error:  # the first search after `AGE_SECONDS_MAX` looks itself, and reports it
            _log.warning("collection %s could not be checked for changes: %s", self._folder.path.name, error.message)
        finally:
            self._checking.release()

    def _open_in_background(self) -> None:
        """Open the current generation in the background. Failures are logged; the open one continues to serve."""
        try:
            self.refresh()
        except WinnowError as error:
            _log.error("collection %s: %s", self._folder.path.name, error.message)
            self._served = replace(self._served, fault=error.message, pointer=current_name(self._folder))
            with suppress(WinnowError):  # if the store cannot be read either, the next search reports it
                self._update_view()

    def _open(self, pointer: str | None) -> _Served:
        """Open what serves from now on, and note why it is not what should."""
        try:
            opened = open_newest(self._folder, self._identity, self._store)
            fault = opened.fallback_from if opened else None
        except GenerationCorrupt as corrupt:  # the index in memory was intact when read; the store has the rest
            opened, fault = self._served.opened, corrupt.detail
        if fault is not None:
            serving = opened.name if opened else "the store alone"
            _log.warning("collection %s is served by %s because of a fault: %s", self._folder.path.name, serving, fault)
        return _Served(opened=self._place(opened), fault=fault, pointer=pointer)

    def _place(self, opened: Generation | None) -> Generation | None:
        """Place the index on the device, if there is one, in addition to the one serving until then."""
        before = self._served.opened
        if opened is None or self._device is None or opened is before:
            return opened
        index, seat = self._device.place(
            opened.index, opened.manifest.index.recipe, before=before.index if before else None
        )
        if seat.fault is not None:
            _log.warning(
                "collection %s: %s is searched on the %s: %s",
                self._folder.path.name,
                opened.name,
                seat.device,
                seat.fault,
            )
        return replace(opened, index=index, seat=seat)

    def _update_view(self) -> Searcher:
        """Return a view of the newest commit with the open generation."""
        with self._lock:
            looked_at, before, served = time.monotonic(), self._newest, self._served
            snapshot = self._store.snapshot()  # after the generation, so that it is never older
            if before is None or not before.shows(snapshot, served.opened, served.fault):
                self._newest = before = Searcher(
                    snapshot=snapshot,
                    opened=served.opened,
                    delta=_delta(snapshot, served.opened, before=before, dimension=self._identity.dimension),
                    fallback_from=served.fault,
                )
            self._checked_at = looked_at
            return before


def _delta(
    snapshot: StoreSnapshot, opened: Generation | None, *, before: Searcher | None, dimension: int
) -> DeltaIndex:
    """Return the chunks newer than the generation; those of the last view are not read again."""
    if before is None:
        return DeltaIndex.of(snapshot, after=_last_covered(opened), dimension=dimension)
    return before.delta.followed_by(snapshot, after=_last_covered(opened))


def _last_covered(opened: Generation | None) -> int:
    """Return the newest chunk number that the generation may contain."""
    return int(opened.index.numbers[-1]) if opened and len(opened.index.numbers) else -1
