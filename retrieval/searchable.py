"""What can be found in this collection right now? The newest generation, corrected by what was written since.

    generation   an index of the chunks that were live when it was built
    delta        the chunks that are newer than all of those, compared exactly
    live         what the store's newest version holds; what is not in it is never answered with

A view joins the three and never changes. Whoever holds one sees one version of everything, however long it takes.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Final

from retrieval.allowed_search import Filtered, Way, merged, nearest_allowed
from retrieval.embedder import EmbedderIdentity
from retrieval.errors import CollectionNotReady, GenerationCorrupt
from retrieval.filters import Filter
from retrieval.fresh_index import FreshIndex
from retrieval.generation import Generation, current_name, open_newest
from retrieval.layout import CollectionFolder
from retrieval.records import ChunkNumbers, Vectors
from retrieval.store import Store, StoreSnapshot
from retrieval.vector_index import Hits, VectorIndex

REFRESH_SECONDS: Final = 1.0  # how old an answer may be that does not know of another process's commit


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One state of a collection."""

    snapshot: StoreSnapshot
    opened: Generation | None
    delta: FreshIndex
    fallback_from: str | None  # why this is not the generation that should be open; None where it is

    @property
    def generation(self) -> str | None:
        """None: everything is served from the delta."""
        return self.opened.name if self.opened else None

    @property
    def store_version(self) -> int:
        return self.snapshot.version

    @property
    def delta_count(self) -> int:
        """Chunks that are compared outside the generation, and a few that were removed; many are worth publishing."""
        return len(self.delta.numbers)

    def search(self, vector: Vectors, k: int, *, allowed: ChunkNumbers | None = None) -> Hits:
        """The `k` nearest live chunks of the collection, as if all were in one index.

        Where `allowed` is given, ascending, the nearest of those; fewer than `k` only where fewer of them live.
        """
        if allowed is not None:
            return self._search_allowed(vector, k, allowed[self.snapshot.alive(allowed)])[0]
        found = [self._nearest_live(self.delta, vector, k)]
        if self.opened:
            found.append(self._nearest_live(self.opened.index, vector, k))
        return merged(found, k)

    def search_where(self, vector: Vectors, k: int, where: Filter) -> tuple[Hits, Filtered]:
        """The `k` nearest chunks of documents that match, and how they were found. Raises `InvalidRequest`."""
        return self.search_matching(vector, k, self.snapshot.numbers_where(where))

    def search_matching(self, vector: Vectors, k: int, matching: ChunkNumbers) -> tuple[Hits, Filtered]:
        """The same where it is known already which chunks match: live ones, ascending."""
        hits, way = self._search_allowed(vector, k, matching)
        return hits, Filtered(matching=len(matching), of=self.snapshot.count(), way=way)

    def _search_allowed(self, vector: Vectors, k: int, allowed: ChunkNumbers) -> tuple[Hits, Way]:
        """The way is the generation's; the delta is small, and compared one by one."""
        fresh, way = nearest_allowed(self.delta, vector, k, allowed)
        found = [fresh]
        if self.opened:
            hits, way = nearest_allowed(self.opened.index, vector, k, allowed)
            found.append(hits)
        return merged(found, k), way

    def _nearest_live(self, index: VectorIndex, vector: Vectors, k: int) -> Hits:
        """Asks for more while removed chunks take the places; every number is compared with the live ones here."""
        asked = k
        while True:
            hits = index.search(vector, asked)
            alive = self.snapshot.alive(hits.numbers)
            if int(alive.sum()) >= k or asked >= len(index.numbers):
                return Hits(numbers=hits.numbers[alive][:k], similarities=hits.similarities[alive][:k])
            asked = min(2 * asked + int((~alive).sum()), len(index.numbers))


class Searchable:
    """An open collection. Its views follow the store and the published generations. Safe to share between threads."""

    def __init__(self, *, folder: CollectionFolder, store: Store, identity: EmbedderIdentity) -> None:
        """`identity` is the loaded embedder's; a generation of another raises `ModelMismatch` when it is opened."""
        self._folder = folder
        self._store = store
        self._identity = identity
        self._lock = threading.Lock()
        self._newest: View | None = None
        self._pointer: str | None = None  # what `current` named when the generation was opened
        self._checked_at = 0.0  # time.monotonic()

    def view(self) -> View:
        """The newest state, at most a second old. Raises `CollectionNotReady` where there is nothing to search."""
        newest = self._newest
        stale = time.monotonic() - self._checked_at >= REFRESH_SECONDS
        if newest is None or (stale and not self._lock.locked()):  # one looks, the others need not wait for it
            newest = self.refresh()
        if newest.opened is None and not newest.snapshot.count():
            raise CollectionNotReady(self._folder.path.name)
        return newest

    def refresh(self) -> View:
        """The state that includes every commit and publication that was acknowledged before this call."""
        with self._lock:
            before = self._newest
            opened, fallback_from = self._open(before)
            snapshot = self._store.snapshot()  # after the generation, so that it is never older than it
            if before is None or before.opened is not opened or before.snapshot is not snapshot:
                delta = _delta(snapshot, opened, before=before, dimension=self._identity.dimension)
                self._newest = before = View(
                    snapshot=snapshot,
                    opened=opened,
                    delta=delta,
                    fallback_from=fallback_from,
                )
            self._checked_at = time.monotonic()
            return before

    def _open(self, before: View | None) -> tuple[Generation | None, str | None]:
        """The generation to serve, and why it is not the one that should be. Opened again only when `current` moved."""
        pointer = current_name(self._folder)
        if before is not None and pointer == self._pointer:
            return before.opened, before.fallback_from
        found: tuple[Generation | None, str | None]
        try:
            opened = open_newest(self._folder, self._identity)
            found = opened, opened.fallback_from if opened else None
        except GenerationCorrupt as corrupt:  # the store has everything: slower to search, and right
            found = None, corrupt.detail
        self._pointer = pointer
        return found


def _delta(snapshot: StoreSnapshot, opened: Generation | None, *, before: View | None, dimension: int) -> FreshIndex:
    """The chunks that are newer than the generation. Those that the last view had are not read again."""
    covered = int(opened.index.numbers[-1]) if opened and len(opened.index.numbers) else -1
    if before is None:
        return FreshIndex.of(snapshot, after=covered, dimension=dimension)
    return before.delta.followed_by(snapshot, after=covered)
