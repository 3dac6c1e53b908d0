"""Every write path of a collection's store and indexes, and how another writer takes over and what it must find.

The leases are rows of a real PostgreSQL. Each writer has a lock file of its own, like hosts that share only a folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.faults.fence.judging import (
    Fault,
    Kind,
    TakenOver,
    compared,
    contents,
    faults_at_take_over,
    repeated_numbers,
)
from tests.faults.fence.leases import TAKE_OVER_SECONDS_MAX, PausingLease, lease
from tests.faults.fence.sites import Site
from tests.faults.scripted import IDENTITY, OPERATIONS, WRITTEN, Model, document, write
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.leases.writer_lease import SqlWriterLease
from winnow.retrieval.errors import CollectionBusy, StorageMoved, StoreCorrupt, WriterSuperseded
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.generation.cleanup import clean
from winnow.retrieval.generation.history import fold, roll_back
from winnow.retrieval.generation.manifest import read_manifest
from winnow.retrieval.generation.open import check_generation
from winnow.retrieval.generation.pointer import current_name, ordinal
from winnow.retrieval.generation.shared import fetch_newest
from winnow.retrieval.store.lance_store import LanceStore

MADE_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)  # of the prepared collection
LATE: Final = (WriterSuperseded, CollectionBusy, StorageMoved)  # what a writer is told that comes late
TAKEN_OVER: Final[tuple[Model, ...]] = tuple({f"taken-over-{at}": (f"by the second writer {at}", 2)} for at in range(5))


def _upsert(site: Site, held: SqlWriterLease) -> None:
    write(site.open(held), WRITTEN)


def _with_columns(site: Site, held: SqlWriterLease) -> None:
    site.open(held).replace([document("columns", "9 new", 2)])


def _index_waiting(site: Site, held: SqlWriterLease) -> None:
    store = site.open(held)
    store.replace([document("waiting", "for the index", 3)], more_follows=True)
    store.index_words()


def _publish(site: Site, held: SqlWriterLease) -> None:
    fold(site.folder, site.open(held).snapshot(), IDENTITY, lease=held, shared=site.shared)


def _clean_generations(site: Site, held: SqlWriterLease) -> None:
    clean(site.folder, kept=1, lease=held, now=time.time() + site.ahead_seconds)


def _keep_publications(site: Site, held: SqlWriterLease) -> None:
    """What a fold does last in a bucket."""
    assert site.shared is not None
    with held.folding(site.folder):
        site.shared.keep(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class WritePath:
    """One way to change a collection."""

    prepared: str  # name of the operation whose collection it begins with
    run: Callable[[Site, SqlWriterLease], object]
    after: Callable[[Model], Model] = dict  # what it leaves
    harmless: str = ""  # why the control finds nothing, if it cannot


PATHS: Final[dict[str, WritePath]] = {
    "upsert": WritePath(prepared="upsert", run=_upsert, after=lambda before: before | WRITTEN),
    "new columns": WritePath(
        prepared="upsert", run=_with_columns, after=lambda before: before | {"columns": ("9 new", 2)}
    ),
    "delete": WritePath(
        prepared="delete",
        run=lambda site, held: site.open(held).delete(["d2", "d7", "d1"]),
        after=OPERATIONS["delete"].after,
    ),
    "compaction": WritePath(prepared="compaction", run=_upsert, after=lambda before: before | WRITTEN),
    "attributes of an earlier winnow": WritePath(
        prepared="upgrade", run=_upsert, after=lambda before: before | WRITTEN
    ),
    "word rules": WritePath(prepared="word-rules", run=lambda site, held: site.open(held).renew_word_rules()),
    "words": WritePath(
        prepared="upsert", run=_index_waiting, after=lambda before: before | {"waiting": ("for the index", 3)}
    ),
    "words from all texts": WritePath(prepared="upsert", run=lambda site, held: site.open(held).renew_words([])),
    "clean-up": WritePath(prepared="clean-up", run=lambda site, held: site.open(held).clean_up()),
    "old versions": WritePath(prepared="clean-up", run=lambda site, held: site.open(held).remove_old_versions()),
    "publication": WritePath(prepared="publish", run=_publish),
    "rollback": WritePath(prepared="rollback", run=lambda site, held: roll_back(site.folder, IDENTITY, lease=held)),
    "old generations": WritePath(prepared="publish", run=_clean_generations),
    "old publications": WritePath(prepared="publish", run=_keep_publications),
}
ONLY_IN_FOLDERS: Final = {
    "rollback": "in a bucket it moves the pointer of one host, which no other host reads or writes",
    "old generations": "in a bucket they are removed from the cache of one host, which no other host shares",
}
ONLY_IN_BUCKETS: Final = {"old publications": "a folder has no publications; its old generations are removed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreScene:
    """One collection, and one write path of its store or its indexes."""

    path: str
    site: Site
    before: Model
    has_failed: bool = False  # an earlier writer has, so the first must publish a fence itself
    replaces: bool = False  # the second makes the collection again

    @property
    def after(self) -> Model:
        return PATHS[self.path].after(self.before)

    @property
    def folder(self) -> Path:
        return self.site.folder.path

    def begin(self, database: SqlDatabase) -> None:
        """Leave the lease like a writer that ended without releasing it, if the scene needs that."""
        if self.has_failed:
            held = lease(SqlWriterLease, database, self.site.name)
            with suppress(StoreCorrupt), held.writing(lock_of(self.site, "failed")):
                raise StoreCorrupt("it failed")

    def first_lease(self, kind: type[SqlWriterLease], database: SqlDatabase, *, seconds: float) -> SqlWriterLease:
        return lease(kind, database, self.site.name, seconds=seconds)

    def write(self, held: PausingLease) -> None:
        """The first writer."""
        with held.writing(lock_of(self.site, "first"), wait_seconds=TAKE_OVER_SECONDS_MAX):
            PATHS[self.path].run(self.site, held)

    def take_over(
        self,
        kind: type[SqlWriterLease],
        database: SqlDatabase,
        *,
        host: str,
        fenced: Callable[[], None] = lambda: None,
    ) -> TakenOver:
        """What another host does: it writes and publishes, perhaps after it has made the collection again."""
        held = lease(kind, database, self.site.name, host=host)
        with held.writing(lock_of(self.site, "second"), wait_seconds=TAKE_OVER_SECONDS_MAX):
            mine = self.site.seen_by_another()
            for lock in (mine.folder.fold_lock, mine.folder.pointer_lock):
                lock.unlink(missing_ok=True)  # which it does not see
            if self.replaces:
                mine = mine.made_again(held)
            return written_and_published(mine, mine.open(held), held, fenced)

    def through(self, endpoint: str) -> StoreScene:
        """Return the same scene, with the bucket reached at another address."""
        return replace(self, site=self.site.through(endpoint))

    def seen_by_the_second(self) -> Site:
        mine = self.site.seen_by_another()
        return replace(mine, made="second") if self.replaces and mine.bucket else mine

    def faults(self, expected: TakenOver, database: SqlDatabase, *, is_acknowledged: bool) -> list[Fault]:
        """Compare what was taken over, what is stored and what serves; check every file; write once more."""
        site, late = self.seen_by_the_second(), {} if self.replaces else self.after
        found: list[Fault] = []
        if self.replaces:
            found += compared(expected.found or {}, {}, late=self.after)
        elif expected.found is not None:
            found += faults_at_take_over(expected.found, self.before, self.after, is_acknowledged=is_acknowledged)
        held = lease(SqlWriterLease, database, self.site.name)
        try:
            with held.writing(lock_of(site, "third"), wait_seconds=TAKE_OVER_SECONDS_MAX):
                store = site.open(held)
                found += faults_of_contents(site, store, expected, late=late)
            found += [Fault(kind=Kind.LOST, said=said) for said in site.faults(store)]
        except StoreCorrupt as error:
            found.append(Fault(kind=Kind.LOST, said=f"{type(error).__name__}: {error.message}"))
        return found


def prepared(path: str, root: Path) -> Model:
    """Write a data folder on which this path can be run; return its documents."""
    return OPERATIONS[PATHS[path].prepared].prepare(root)


def lock_of(site: Site, writer: str) -> CollectionFolder:
    return CollectionFolder(site.root.parent / "locks" / writer)


def written_and_published(site: Site, store: LanceStore, held: SqlWriterLease, fenced: Callable[[], None]) -> TakenOver:
    """Fence the store, call `fenced`, commit five times, and publish an index; the caller holds the lease."""
    assert store.delete(["which no one has"]) == 0  # it fences, and commits nothing
    found = contents(store)
    fenced()
    documents = dict(found)
    for each in TAKEN_OVER:
        store.replace([document(*only(each))])
        documents |= each
    if site.shared is not None:
        fetch_newest(site.folder, site.shared, made_at=MADE_AT, lease=held)
    snapshot, shared = store.snapshot(), site.shared
    published = fold(site.folder, snapshot, IDENTITY, lease=held, shared=shared, wait_seconds=TAKE_OVER_SECONDS_MAX)
    return TakenOver(found=found, documents=documents, generation=published.name)


def only(model: Model) -> tuple[str, str, int]:
    ((name, (text, pieces)),) = model.items()
    return name, text, pieces


def faults_of_contents(site: Site, store: LanceStore, expected: TakenOver, *, late: Model) -> list[Fault]:
    """Compare what is stored and what serves, and write once more; the caller holds the lease."""
    return [
        *compared(contents(store), expected.documents, late=late),
        *repeated_numbers(store),
        *faults_of_pointer(site, store, expected.generation),
        *faults_of_next_write(store),
    ]


def faults_of_pointer(site: Site, store: LanceStore, generation: str) -> Sequence[Fault]:
    current = current_name(site.folder)
    if current is not None and ordinal(current) > ordinal(generation):  # of a build that began after the take-over?
        built, expected = (read_manifest(site.folder.generations / name) for name in (current, generation))
        if built.store_version >= expected.store_version:
            generation = current
    if current != generation:
        return [Fault(kind=Kind.STALE, said=f"{current} is current instead of {generation}")]
    fault = check_generation(site.folder, generation, store=store)[1]
    return [] if fault is None else [Fault(kind=Kind.LOST, said=f"{generation}: {fault}")]


def faults_of_next_write(store: LanceStore) -> Sequence[Fault]:
    """Write once more, and clean up; numbers must not be used again, and words must be found."""
    used = int(store.snapshot().chunk_numbers().max())
    store.replace([document("last", "written last", 1)])
    newest = int(store.snapshot().chunk_numbers().max())
    store.clean_up()
    store.index_words()
    fault = store.snapshot().words_fault()
    said = [] if newest > used else [Fault(kind=Kind.DOUBLED, said=f"the number {newest} was used again")]
    return said if fault is None else [*said, Fault(kind=Kind.LOST, said=fault)]
