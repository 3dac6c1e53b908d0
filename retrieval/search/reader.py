"""What can be found in this collection right now? The newest generation, corrected by what was written since.

    generation   an index of the chunks that were live when it was built
    delta        the chunks that are newer than all of those, compared exactly
    live         what the store's newest version holds; what is not in it is never answered with

A view joins the three and never changes. Whoever holds one sees one version of everything, however long it takes.
A commit is cheap to follow, and searches do it; a new generation has to be read and checked first, which may take
seconds, so that it is opened beside, and the one that serves goes on serving until then.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace
from typing import Final

from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import CollectionNotReady, GenerationCorrupt, WinnowError
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.generation.open import Generation, open_newest
from winnow.retrieval.generation.pointer import current_name
from winnow.retrieval.index.delta_index import DeltaIndex
from winnow.retrieval.index.filtered_search import Filtered, merge_hits, search_allowed
from winnow.retrieval.index.gpu_index import ON_CPU, DeviceFlatIndex, IndexDevice, Seat
from winnow.retrieval.index.vector_index import Hits, VectorIndex
from winnow.retrieval.records import ChunkNumbers, Vectors
from winnow.retrieval.store.contract import Store, StoreSnapshot

REFRESH_SECONDS: Final = 0.5  # between two looks for other processes' commits; looking takes time, and 1 s is promised
REMOVED_AHEAD: Final = 8  # removed chunks that are reckoned with in any list of the nearest

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Searcher:
    """One state of a collection."""

    snapshot: StoreSnapshot
    opened: Generation | None
    delta: DeltaIndex
    fallback_from: str | None  # why this is not the generation that should be open; None where it is

    @property
    def generation(self) -> str | None:
        """None: everything is served from the delta."""
        return self.opened.name if self.opened else None

    @property
    def seat(self) -> Seat:
        """Where its index is searched at this moment."""
        if self.opened is None:
            return ON_CPU
        index = self.opened.index
        return index.seat if isinstance(index, DeviceFlatIndex) else self.opened.seat

    @property
    def store_version(self) -> int:
        return self.snapshot.version

    @property
    def delta_count(self) -> int:
        """Chunks that are compared outside the generation, and a few that were removed; many are worth publishing."""
        return len(self.delta.numbers)

    @property
    def unfolded(self) -> int:
        """How far the generation is behind: chunks beside it, and removed ones in it that every search passes over."""
        fresh = self.snapshot.count(after=_covered(self.opened))
        indexed = len(self.opened.index.numbers) if self.opened else 0
        return fresh + indexed - (self.snapshot.count() - fresh)

    def shows(self, snapshot: StoreSnapshot, opened: Generation | None, fallback_from: str | None) -> bool:
        """Whether this is the view of these three."""
        return self.snapshot is snapshot and self.opened is opened and self.fallback_from == fallback_from

    def search(self, vector: Vectors, k: int) -> Hits:
        """The `k` nearest live chunks of the collection, as if all were in one index."""
        fresh = self.snapshot.count(after=_covered(self.opened))
        found = [self._nearest_live(self.delta, vector, k, live=fresh)]
        if self.opened:
            found.append(self._nearest_live(self.opened.index, vector, k, live=self.snapshot.count() - fresh))
        return merge_hits(found, k)

    def search_matching(self, vector: Vectors, k: int, matching: ChunkNumbers) -> tuple[Hits, Filtered]:
        """The `k` nearest of the chunks that match a filter, live ones, ascending; and how they were found.

        The way is the generation's; the delta is small, and compared one by one.
        """
        fresh, way = search_allowed(self.delta, vector, k, matching)
        found = [fresh]
        if self.opened:
            hits, way = search_allowed(self.opened.index, vector, k, matching)
            found.append(hits)
        return merge_hits(found, k), Filtered(matching=len(matching), of=self.snapshot.count(), way=way)

    def _nearest_live(self, index: VectorIndex, vector: Vectors, k: int, *, live: int) -> Hits:
        """Asks for more where removed chunks take places; every number is compared with the live ones here.

        Of the index's chunks so many are `live`. Twice as many removed ones as there are on average among the nearest
        are reckoned with at once: to ask again costs as much as the search itself.
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
    pointer: str | None  # what `current` named when it was opened


class IndexReader:
    """An open collection. Its views follow the store and the published generations. Safe to share between threads."""

    def __init__(
        self,
        *,
        folder: CollectionFolder,
        store: Store,
        identity: EmbedderIdentity,
        device: IndexDevice | None = None,
    ) -> None:
        """`identity` is the loaded embedder's; a generation of another raises `ModelMismatch` when it is opened.

        On the `device` exact indexes are searched; without one, all are on the CPU.
        """
        self._folder = folder
        self._device = device
        self._store = store
        self._identity = identity
        self._lock = threading.Lock()  # held while a view is made
        self._opening = threading.Lock()  # held while a generation is opened
        self._newest: Searcher | None = None
        self._served = _Served(opened=None, fault=None, pointer=None)
        self._checked_at = 0.0  # time.monotonic()

    @property
    def newest(self) -> Searcher | None:
        """The last view that was made, without a look at the disk; None before the first."""
        return self._newest

    def view(self) -> Searcher:
        """The newest state, at most a second old. Raises `CollectionNotReady` where there is nothing to search."""
        newest = self._newest
        stale = time.monotonic() - self._checked_at >= REFRESH_SECONDS
        if newest is None or (stale and not self._lock.locked()):  # one looks, the others need not wait for it
            newest = self.follow()
        if newest.opened is None and not newest.snapshot.count():
            raise CollectionNotReady(self._folder.path.name)
        return newest

    def follow(self) -> Searcher:
        """The state that includes every commit acknowledged before this call. Publications come when they are open."""
        newest = self._newest
        if newest is None:
            return self.refresh()
        if current_name(self._folder) != self._served.pointer and not self._opening.locked():
            threading.Thread(target=self._open_beside, name="open-generation", daemon=True).start()
        return self._viewed()

    def refresh(self) -> Searcher:
        """The state that includes every commit and publication that was acknowledged before this call."""
        with self._opening:
            pointer = current_name(self._folder)
            if self._newest is None or pointer != self._served.pointer:
                self._served = self._opened(pointer)
            return self._viewed()

    def _open_beside(self) -> None:
        """What cannot be opened is told like any fault; what is open goes on serving."""
        try:
            self.refresh()
        except WinnowError as error:
            _log.error("collection %s: %s", self._folder.path.name, error.message)
            self._served = replace(self._served, fault=error.message, pointer=current_name(self._folder))
            self._viewed()

    def _opened(self, pointer: str | None) -> _Served:
        """What serves from now on, and why it is not what should."""
        try:
            opened = open_newest(self._folder, self._identity)
            fault = opened.fallback_from if opened else None
        except GenerationCorrupt as corrupt:  # what is in memory was whole when it was read; the store has the rest
            opened, fault = self._served.opened, corrupt.detail
        if fault is not None:
            serving = opened.name if opened else "the store alone"
            _log.warning("collection %s is served by %s, because of %s", self._folder.path.name, serving, fault)
        return _Served(opened=self._placed(opened), fault=fault, pointer=pointer)

    def _placed(self, opened: Generation | None) -> Generation | None:
        """On the device where one is set, beside what is there until this one serves."""
        before = self._served.opened
        if opened is None or self._device is None or opened is before:
            return opened
        index, seat = self._device.placed(
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

    def _viewed(self) -> Searcher:
        """The newest commit, over what is open."""
        with self._lock:
            looked_at, before, served = time.monotonic(), self._newest, self._served
            snapshot = self._store.snapshot()  # after the generation, so that it is never older than it
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
    """The chunks that are newer than the generation. Those that the last view had are not read again."""
    if before is None:
        return DeltaIndex.of(snapshot, after=_covered(opened), dimension=dimension)
    return before.delta.followed_by(snapshot, after=_covered(opened))


def _covered(opened: Generation | None) -> int:
    """The newest chunk that may be in this generation: every later one is beside it."""
    return int(opened.index.numbers[-1]) if opened and len(opened.index.numbers) else -1
