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

import numpy as np
from numpy.typing import NDArray

from retrieval.embedder import EmbedderIdentity
from retrieval.errors import CollectionNotReady, GenerationCorrupt
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

    def search(self, vector: Vectors, k: int) -> Hits:
        """The `k` nearest live chunks of the collection, exactly as if all were in one index."""
        found = [self._nearest_live(self.delta, vector, k)]
        if self.opened:
            found.append(self._nearest_live(self.opened.index, vector, k))
        numbers = np.concatenate([hits.numbers for hits in found])
        similarities = np.concatenate([hits.similarities for hits in found])
        order = np.lexsort((numbers, -similarities))[:k]
        return Hits(numbers=numbers[order], similarities=similarities[order])

    def _nearest_live(self, index: VectorIndex, vector: Vectors, k: int) -> Hits:
        """Asks for more while removed chunks take the places; every number is compared with the live ones here."""
        asked = k
        while True:
            hits = index.search(vector, asked)
            alive = self._is_live(hits.numbers)
            if int(alive.sum()) >= k or asked >= len(index.numbers):
                return Hits(numbers=hits.numbers[alive][:k], similarities=hits.similarities[alive][:k])
            asked = min(2 * asked + int((~alive).sum()), len(index.numbers))

    def _is_live(self, numbers: ChunkNumbers) -> NDArray[np.bool_]:
        return self.snapshot.alive(numbers)


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
