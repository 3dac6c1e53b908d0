"""The paths that change whole collections: creation, removal, restore, adoption, and other fields to embed.

Here the second writer is a host that finds the collection in any state, removes it if the catalog has it, makes it
again, writes and publishes. Nothing of the first may reach that collection. Where it keeps the collection, it writes
documents with the properties that it finds, and those must stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from unittest.mock import patch

from tests.faults.fence.judging import Fault, Kind, TakenOver
from tests.faults.fence.leases import OneLease, PausingLease, UnfencedLease, lease
from tests.faults.fence.paths import faults_of_contents, written_and_published
from tests.faults.fence.sites import Site
from tests.faults.scripted import DIMENSION, IDENTITY, Model, write
from winnow.api.collections.adoption import Presumed, adopt
from winnow.api.collections.bucket.corpora import shared_of
from winnow.api.collections.data_folder import DataFolder
from winnow.retrieval.catalog.collection_facts import CollectionFacts, read_facts
from winnow.retrieval.catalog.collections import Collection, FieldsChange
from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.leases.writer_lease import SqlWriterLease
from winnow.retrieval.document_fields import FieldChoice
from winnow.retrieval.errors import CollectionExists, CollectionNotFound, WinnowError
from winnow.retrieval.files.durable import make_folder
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.s3_access import BucketRoot
from winnow.retrieval.generation.history import fold
from winnow.retrieval.generation.shared import SharedGenerations
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.store.places.bucket import Bucket
from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT, Actor, TenantName

FIRST_AT: Final = datetime(2026, 2, 1, tzinfo=UTC)
EARLIER: Final[Model] = {"earlier": ("of the earlier collection", 2)}
EMBEDDED: Final = FieldChoice(names=("section",), tokens_max=32)
BROUGHT: Final[Model] = {"brought": ("by the first writer", 2)}


class PausingCollections(SqlCollections):
    """Counts each change of a collection's row, before it is made, like the lease its renewals."""

    count: Callable[[], None] = staticmethod(lambda: None)

    def begin(self, collection: Collection, *, is_alone: bool = False) -> None:
        self.count()
        super().begin(collection, is_alone=is_alone)

    def add(self, collection: Collection, *, must_be_begun: bool = False, by: Actor = COMMAND_LINE) -> None:
        self.count()
        super().add(collection, must_be_begun=must_be_begun, by=by)

    def remove(
        self,
        tenant: TenantName,
        name: str,
        *,
        made_at: datetime | None = None,
        folder_follows: bool = False,
        by: Actor = COMMAND_LINE,
    ) -> None:
        self.count()
        super().remove(tenant, name, made_at=made_at, folder_follows=folder_follows, by=by)

    def end(self, tenant: TenantName, name: str, *, made_at: datetime) -> None:
        self.count()
        super().end(tenant, name, made_at=made_at)


def _create(disk: DataFolder, collection: Collection) -> None:
    disk.make(collection)


def _remove(disk: DataFolder, collection: Collection) -> None:
    disk.remove(collection.tenant, collection.name)


def _restore(disk: DataFolder, collection: Collection) -> None:
    def build(folder: CollectionFolder) -> None:
        store = LanceStore.create(folder.corpus, dimension=DIMENSION)
        write(store, BROUGHT)
        fold(folder, store.snapshot(), IDENTITY)

    disk.bring_in(collection, build, replace=True)


def _embed_fields(disk: DataFolder, collection: Collection) -> None:
    change = FieldsChange(names=EMBEDDED.names, tokens_max=EMBEDDED.tokens_max)
    disk.change(collection.tenant, collection.name, embed_fields=change)


def _adopt(disk: DataFolder, collection: Collection) -> None:
    adopt(disk, collection.tenant, collection.name, presumed=Presumed(embedder=lambda: IDENTITY, chunk_tokens=64))


@dataclass(frozen=True, slots=True, kw_only=True)
class WholePath:
    """One way to change which collection a name stands for."""

    run: Callable[[DataFolder, Collection], None]
    exists: bool  # there is a collection before
    half_removed: bool = False  # of which a removal was killed
    is_empty: bool = False
    is_unknown: bool = False  # to the catalog
    is_kept: bool = False  # by the second writer
    harmless: str = ""  # why the control finds nothing, if it cannot


BY_ROW: Final = "the lease's row refuses it, with a fence or without"
WHOLE_PATHS: Final[dict[str, WholePath]] = {
    "creation": WholePath(run=_create, exists=False),
    "creation over a half-removed folder": WholePath(run=_create, exists=True, half_removed=True),
    "removal": WholePath(run=_remove, exists=True),
    "embed fields": WholePath(run=_embed_fields, exists=True, is_empty=True, harmless=BY_ROW),
    "embed fields of a kept collection": WholePath(
        run=_embed_fields, exists=True, is_empty=True, is_kept=True, harmless=BY_ROW
    ),
    "adoption": WholePath(run=_adopt, exists=True, is_unknown=True, is_kept=True, harmless=BY_ROW),
    "restore": WholePath(run=_restore, exists=False),
    "restore over a collection": WholePath(run=_restore, exists=True),
}
WHOLE_ONLY_IN_FOLDERS: Final = {
    "creation over a half-removed folder": "in a bucket each creation has a prefix of its own, so nothing is there",
    "adoption": "it is for folders that the catalog does not know; in a bucket there is no collection without a row",
    "restore": "a snapshot cannot be restored into a bucket; that is refused",
    "restore over a collection": "a snapshot cannot be restored into a bucket; that is refused",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeScene:
    """One name, and one way to change what it stands for."""

    path: str
    root: Path
    url: str  # of the catalog
    name: str
    bucket: BucketRoot | None = None

    @property
    def folder(self) -> Path:
        """The parent of the collection's, which a removal renames."""
        return self.disk_folder(self.root).path.parent

    def disk_folder(self, root: Path) -> CollectionFolder:
        return CollectionFolder(root / "collections" / DEFAULT_TENANT / self.name)

    @property
    def collection(self) -> Collection:
        return self._collection(FIRST_AT)

    def _collection(self, at: datetime) -> Collection:
        return Collection(tenant=DEFAULT_TENANT, name=self.name, embedder=IDENTITY, chunk_tokens=64, created_at=at)

    def begin(self, database: SqlDatabase) -> None:
        if not WHOLE_PATHS[self.path].exists:
            return
        disk = self._disk(lease(SqlWriterLease, database, self.name), self.root)
        earlier = self._collection(FIRST_AT - timedelta(days=1))
        disk.make(earlier)
        with disk.writing(DEFAULT_TENANT, self.name):
            store = disk.store(earlier)
            if WHOLE_PATHS[self.path].is_empty:
                return
            write(store, EARLIER)
            folder = disk.layout.collection(DEFAULT_TENANT, self.name)
            fold(folder, store.snapshot(), IDENTITY, lease=disk.lease(DEFAULT_TENANT, self.name))
        if WHOLE_PATHS[self.path].half_removed:
            disk.catalog.collections.remove(DEFAULT_TENANT, self.name, folder_follows=True)
        if WHOLE_PATHS[self.path].is_unknown:
            disk.catalog.collections.remove(DEFAULT_TENANT, self.name)
        disk.catalog.database.close()

    def first_lease(self, kind: type[SqlWriterLease], database: SqlDatabase, *, seconds: float) -> SqlWriterLease:
        return lease(kind, database, self.name, seconds=seconds, has_own_folder=self.bucket is not None)

    def write(self, held: PausingLease) -> None:
        disk = self._disk(held, self.root)
        collections = PausingCollections(disk.catalog.database)
        collections.count = held.count
        WHOLE_PATHS[self.path].run(
            replace(disk, catalog=replace(disk.catalog, collections=collections)), self.collection
        )

    def take_over(
        self,
        kind: type[SqlWriterLease],
        database: SqlDatabase,
        *,
        host: str,
        fenced: Callable[[], None] = lambda: None,
    ) -> TakenOver:
        """Make the collection again, whatever is there, or keep it; write and publish."""
        held = lease(kind, database, self.name, host=host, has_own_folder=self.bucket is not None)
        disk = self._disk(held, self.root_of_second)
        folder = self.disk_folder(self.root_of_second)
        for lock in (*folder.locks, *(lock for each in folder.restorings() for lock in each.locks)):
            lock.unlink(missing_ok=True)  # which another host does not see
        existed = True
        with _leaving_exchanges() if kind is UnfencedLease else nullcontext():
            try:
                self._keep(disk) if WHOLE_PATHS[self.path].is_kept else disk.remove(DEFAULT_TENANT, self.name)
            except CollectionNotFound:
                existed = False
            if not WHOLE_PATHS[self.path].is_kept:
                disk.make(self._collection(FIRST_AT + timedelta(days=1)))
        with disk.writing(DEFAULT_TENANT, self.name, wait_seconds=9):
            left = disk.catalog.collections.get(DEFAULT_TENANT, self.name)
            taken = written_and_published(self._site(disk, left), disk.store(left), held, fenced)
        disk.catalog.database.close()
        return replace(taken, found={} if existed else None, left=left)

    def _keep(self, disk: DataFolder) -> None:
        if WHOLE_PATHS[self.path].is_unknown:
            with suppress(CollectionExists):
                _adopt(disk, self.collection)

    def through(self, endpoint: str) -> WholeScene:
        """Return the same scene, with the bucket reached at another address."""
        assert self.bucket is not None
        return replace(self, bucket=self.bucket.reached_by(replace(self.bucket.access, endpoint=endpoint)))

    @property
    def root_of_second(self) -> Path:
        return self.root if self.bucket is None else self.root.with_name(f"{self.root.name}-of-the-second")

    def faults(self, expected: TakenOver, database: SqlDatabase, *, is_acknowledged: bool) -> list[Fault]:
        held = lease(SqlWriterLease, database, self.name, has_own_folder=self.bucket is not None)
        disk = self._disk(held, self.root_of_second)
        found: list[Fault] = []
        if is_acknowledged and expected.found is None and WHOLE_PATHS[self.path].run is not _remove:
            found.append(Fault(kind=Kind.LOST, said="it was acknowledged, and nothing was there"))
        again = expected.left
        assert again is not None, "the second has found or made one"
        is_kept = WHOLE_PATHS[self.path].is_kept
        if is_acknowledged and is_kept and self.path != "adoption" and again.embed_fields != EMBEDDED:
            found.append(Fault(kind=Kind.LOST, said="it was acknowledged, and the second found other fields"))
        try:
            if disk.catalog.collections.get(DEFAULT_TENANT, self.name) != again:
                found.append(Fault(kind=Kind.STALE, said="the catalog has the first writer's collection"))
            if read_facts(self.disk_folder(self.root if is_kept else self.root_of_second)) != CollectionFacts.of(again):
                found.append(Fault(kind=Kind.STALE, said="the facts are the first writer's"))
            with disk.writing(DEFAULT_TENANT, self.name, wait_seconds=9):
                store, site = disk.store(again), self._site(disk, again)
                found += faults_of_contents(site, store, expected, late=EARLIER | BROUGHT)
            found += [Fault(kind=Kind.LOST, said=said) for said in site.faults(store)]
        except WinnowError as error:
            found.append(Fault(kind=Kind.LOST, said=f"{type(error).__name__}: {error.message}"))
        with suppress(WinnowError):
            disk.remove(DEFAULT_TENANT, self.name)
        disk.catalog.database.close()
        return found

    def _disk(self, held: SqlWriterLease, root: Path) -> DataFolder:
        make_folder(root)
        disk = DataFolder.open(root, self.url, self.bucket)
        return replace(disk, catalog=replace(disk.catalog, leases=OneLease(held)))

    def _site(self, disk: DataFolder, collection: Collection) -> Site:
        """The same collection, for those who look at its files."""
        folder = disk.layout.collection(DEFAULT_TENANT, self.name)
        return OpenedSite(
            name=self.name, root=disk.layout.root, bucket=self.bucket, disk=disk, collection=collection, of=folder
        )


@contextmanager
def _leaving_exchanges() -> Iterator[None]:
    """The control: a creation that does not end what earlier ones have begun."""
    with patch("winnow.api.collections.folder_moves._end_earlier", lambda *_: None):
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSite(Site):
    """A collection of a data folder."""

    disk: DataFolder
    collection: Collection
    of: CollectionFolder

    @property
    def folder(self) -> CollectionFolder:
        return self.of

    @property
    def shared(self) -> SharedGenerations | None:
        return shared_of(None if self.bucket is None else Bucket(self.bucket), self.collection, self.of)
