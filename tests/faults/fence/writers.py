"""Two writers of one store that know of each other only by their leases. The first pauses after any of its renewals.

The leases are rows of a real PostgreSQL. Each writer has a lock file of its own, like hosts that share only a folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.faults.fence.sites import Site
from tests.faults.scripted import IDENTITY, OPERATIONS, WRITTEN, Model, document, write
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.leases.writer_lease import SqlWriterLease
from winnow.retrieval.errors import CollectionBusy, StorageMoved, StoreCorrupt, WriterSuperseded
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.generation.history import fold, roll_back
from winnow.retrieval.generation.open import check_generation
from winnow.retrieval.generation.pointer import current_name
from winnow.retrieval.generation.shared import fetch_newest
from winnow.retrieval.store.lance_store import LanceStore

MADE_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)  # of the prepared collection
LATE: Final = (WriterSuperseded, CollectionBusy, StorageMoved)  # what a writer is told that comes late
TENANT: Final = "default"
COLLECTION: Final = "fenced"
TAKEN_OVER: Final[tuple[Model, ...]] = tuple({f"taken-over-{at}": (f"by the second writer {at}", 2)} for at in range(5))


class PausingLease(SqlWriterLease):
    """Calls `pause` right after the renewal or reservation of this number: the writer then believes to hold it."""

    pause: Callable[[], None] = staticmethod(lambda: None)
    at: int = -1
    renewals: int = 0

    def renew(self, *, newest: int = 0) -> bool:
        must_fence = super().renew(newest=newest)
        self._count()
        return must_fence

    def take_numbers(self, count: int, *, least: int) -> int:
        first = super().take_numbers(count, least=least)
        self._count()
        return first

    def still_folding(self) -> None:
        super().still_folding()
        self._count()

    def begin_move(self) -> int:
        token = super().begin_move()
        self._count()
        return token

    def require_move(self, token: int) -> None:
        super().require_move(token)
        self._count()

    def _count(self) -> None:
        self.renewals += 1
        if self.renewals == self.at:
            self.pause()


class UnfencedLease(SqlWriterLease):
    """The control: takes over without a fence, and moves the pointer by the file lock alone."""

    expires = False  # type: ignore[misc]

    def renew(self, *, newest: int = 0) -> bool:
        super().renew(newest=newest)
        return False

    def begin_move(self) -> int:
        return 0

    def require_move(self, token: int) -> None:
        """Nothing is compared."""


def _upsert(store: LanceStore) -> None:
    write(store, WRITTEN)


def _index_waiting(store: LanceStore) -> None:
    store.replace([document("waiting", "for the index", 3)], more_follows=True)
    store.index_words()


def _rebuild_words(store: LanceStore) -> None:
    store.renew_words([])


def _publish(site: Site, held: SqlWriterLease) -> None:
    fold(site.folder, site.open(held).snapshot(), IDENTITY, lease=held, shared=site.shared)


def _roll_back(site: Site, held: SqlWriterLease) -> None:
    roll_back(site.folder, IDENTITY, lease=held)


MOVES: Final[dict[str, tuple[str, Callable[[Site, SqlWriterLease], object]]]] = {
    "publication": ("publish", _publish),
    "rollback": ("rollback", _roll_back),
}
PATHS: Final[dict[str, tuple[str, Callable[[LanceStore], object]]]] = {
    "upsert": ("upsert", _upsert),
    "new columns": ("upsert", lambda store: store.replace([document("columns", "9 new", 2)])),
    "delete": ("delete", lambda store: store.delete(["d2", "d7", "d1"])),
    "compaction": ("compaction", _upsert),
    "attributes of an earlier winnow": ("upgrade", _upsert),
    "word rules": ("word-rules", lambda store: store.renew_word_rules()),
    "words": ("upsert", _index_waiting),
    "words from all texts": ("upsert", _rebuild_words),
    "clean-up": ("clean-up", lambda store: store.clean_up()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a pause led to."""

    path: str
    at: int  # the renewal or request at which the first writer paused; 0: it ended before
    superseded: bool
    wrong: tuple[str, ...] = ()
    held: str = ""  # the request that was held on the wire


def prepare(path: str, root: Path) -> None:
    """Write a data folder on which this path can be run."""
    OPERATIONS[(PATHS.get(path) or MOVES[path])[0]].prepare(root)


def run(path: str, site: Site, held: SqlWriterLease) -> None:
    if path in MOVES:
        MOVES[path][1](site, held)
    else:
        PATHS[path][1](site.open(held))


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOver:
    """What must be there after another writer took over."""

    documents: Model
    generation: str  # that it published


def contents(store: LanceStore) -> Model:
    """The documents, each with its text and how many chunks are stored for it."""
    snapshot = store.snapshot()
    numbers = snapshot.chunk_numbers()
    assert len(set(numbers.tolist())) == len(numbers), "no number is there twice"
    chunks = Counter(snapshot.document_ids(numbers.tolist()))
    return {name: (snapshot.document(name).text, count) for name, count in chunks.items()}


def lease(
    kind: type[SqlWriterLease], database: SqlDatabase, name: str, *, host: str = "one", seconds: float = 9.0
) -> SqlWriterLease:
    """Writers with the same host take over at once, because neither holds the file lock of the other."""
    return kind(database, TENANT, name, host=host, lease_seconds=seconds)


def lock_of(site: Site, writer: str) -> CollectionFolder:
    return CollectionFolder(site.root.parent / "locks" / writer)


def take_over(
    site: Site, held: SqlWriterLease, *, wait_seconds: float = 30.0, replaces: bool = False
) -> tuple[Site, TakenOver]:
    """What another host does: it writes and publishes; `replaces` means that it makes the collection again before."""
    with held.writing(lock_of(site, "second"), wait_seconds=wait_seconds):
        mine = site.seen_by_another()
        for lock in (mine.folder.fold_lock, mine.folder.pointer_lock):
            lock.unlink(missing_ok=True)  # which it does not see
        if replaces:
            mine = mine.made_again(held)
        store = mine.open(held)
        store.replace([document(*_only(TAKEN_OVER[0]))])
        found = contents(store)
        for each in TAKEN_OVER[1:]:
            store.replace([document(*_only(each))])
            found |= each
        if mine.shared is not None:
            fetch_newest(mine.folder, mine.shared, made_at=MADE_AT, lease=held)
        snapshot = store.snapshot()
        published = fold(mine.folder, snapshot, IDENTITY, lease=held, shared=mine.shared, wait_seconds=wait_seconds)
        return mine, TakenOver(documents=found, generation=published.name)


def _only(model: Model) -> tuple[str, str, int]:
    ((name, (text, pieces)),) = model.items()
    return name, text, pieces


def paused(
    site: Site,
    prepared: Path,
    database: SqlDatabase,
    path: str,
    at: int,
    *,
    second: type[SqlWriterLease] = SqlWriterLease,
    is_after_failure: bool = False,
) -> Outcome:
    """Run a write path, let another writer take over at its renewal `at`, and say what is wrong afterwards.

    `is_after_failure`: the first writer has a fence to publish itself.
    """
    prepare(path, prepared)
    site.fill(prepared)
    first = lease(PausingLease, database, site.name)
    assert isinstance(first, PausingLease)
    if is_after_failure:
        fail(site, lease(SqlWriterLease, database, site.name))
    expected: list[tuple[Site, TakenOver]] = []
    first.at, first.pause = at, lambda: expected.append(take_over(site, lease(second, database, site.name)))
    superseded = False
    try:
        with first.writing(lock_of(site, "first")):
            run(path, site, first)
    except LATE:
        superseded = True
    if not expected:
        return Outcome(path=path, at=0, superseded=superseded)
    return Outcome(path=path, at=at, superseded=superseded, wrong=tuple(faults(*expected[0], database)))


def fail(site: Site, held: SqlWriterLease) -> None:
    """Leave a lease like a writer that ended without releasing it."""
    with suppress(StoreCorrupt), held.writing(lock_of(site, "failed")):
        raise StoreCorrupt("it failed")


def faults(site: Site, expected: TakenOver, database: SqlDatabase) -> list[str]:
    """Compare what is stored and served, check every file, and write once more."""
    held = lease(SqlWriterLease, database, site.name)
    folder, documents = site.folder, expected.documents
    wrong = []
    with held.writing(lock_of(site, "third"), wait_seconds=30.0):
        store = site.open(held)
        if (found := contents(store)) != documents:
            differing = {name for name in {*found, *documents} if found.get(name) != documents.get(name)}
            wrong.append(f"documents differ: {sorted(differing)}")
        if (current := current_name(folder)) != expected.generation:
            wrong.append(f"{current} is current instead of {expected.generation}")
        elif fault := check_generation(folder, expected.generation, store=store)[1]:
            wrong.append(f"{current}: {fault}")
        used = int(store.snapshot().chunk_numbers().max())
        store.replace([document("last", "written last", 1)])
        newest = store.snapshot().chunk_numbers().max()
        if newest <= used:
            wrong.append(f"the number {newest} was used again")
        store.clean_up()
        store.index_words()
        if fault := store.snapshot().words_fault():
            wrong.append(fault)
    return wrong + site.faults(store)
