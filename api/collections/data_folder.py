"""The data folder: everything that can be read, changed and removed without loading a model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from winnow.api.collections import folder_moves, pairing
from winnow.api.collections.bucket.corpora import fault_of, place_of_corpus, remove_from_bucket, take_over_cache
from winnow.api.collections.bucket.pairing import opened_with_bucket, require_used
from winnow.api.collections.catalog import Catalog
from winnow.api.collections.described import Described
from winnow.api.collections.embed_fields import changing_embed_fields
from winnow.api.collections.own_folder import found_in, other, refuse_foreign, require_own
from winnow.api.settings import Settings
from winnow.retrieval.catalog.collection_facts import CollectionFacts, write_facts
from winnow.retrieval.catalog.collections import KEEP, KEEP_FIELDS, Choice, Collection, FieldsChange, Keep
from winnow.retrieval.catalog.sql.leases.writer_lease import host_with
from winnow.retrieval.errors import (
    CollectionBusy,
    CollectionExists,
    FolderUnknown,
    InvalidRequest,
    StorageError,
    StoreCorrupt,
    WinnowError,
)
from winnow.retrieval.files.durable import DISK, Syncer, keep_private, make_folder, remove
from winnow.retrieval.files.folder_contents import contents_of
from winnow.retrieval.files.layout import CollectionFolder, Layout, created_at_of, creation_stamp, stamp_created
from winnow.retrieval.files.lease import WriterLease
from winnow.retrieval.files.opened_files import OpenedFiles
from winnow.retrieval.files.s3_access import BucketRoot
from winnow.retrieval.generation.pointer import moving
from winnow.retrieval.records import Collapse
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.store.places.bucket import Bucket
from winnow.retrieval.store.places.place import StorePlace
from winnow.retrieval.store.succession import create_successor, fence_restored, pass_versions
from winnow.retrieval.tenancy import COMMAND_LINE, Actor, TenantName
from winnow.retrieval.vector_format import VectorFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFolder:
    """A data folder. Every method blocks."""

    layout: Layout
    opened: OpenedFiles  # the data folder itself
    catalog: Catalog
    catalog_url: str | None = field(default=None, repr=False)  # None: a file in the folder
    bucket: Bucket | None = None  # holds the corpora; the folder is then a cache of this host

    @classmethod
    def open(cls, root: Path, catalog_url: str | None = None, bucket: BucketRoot | None = None) -> DataFolder:
        """Create the folder if missing, and open its catalog: a file in it, unless there is a URL of PostgreSQL.

        Raises `WriteFailed`, `StoreCorrupt`, `CatalogUnavailable`, `SettingInvalid`, and `CatalogMismatch` if the two
        do not belong together.
        """
        layout = Layout(root)
        make_folder(root)
        keep_private(root)
        objects = None if bucket is None else Bucket(bucket)
        database = opened_with_bucket(objects, catalog_url) if objects else pairing.opened(layout, catalog_url)
        return cls(
            layout=layout,
            opened=OpenedFiles.of((root,)),
            catalog=Catalog.of(database, place=str(bucket or root), host=host_with(root) if bucket else None),
            catalog_url=catalog_url,
            bucket=objects,
        )

    @classmethod
    def of(cls, settings: Settings) -> DataFolder:
        """Open what the settings name, like `open`."""
        return cls.open(settings.folder, settings.catalog_url, settings.bucket)

    @classmethod
    def existing(cls, root: Path, catalog_url: str | None = None, bucket: BucketRoot | None = None) -> DataFolder:
        """Like `open`, for commands that only read: a misspelt folder is an error, not an empty one."""
        if bucket is None:
            pairing.require_existing(root, catalog_url)
        else:
            require_used(bucket, catalog_url)
        return cls.open(root, catalog_url, bucket)

    def require_local(self, refusal: str) -> None:
        """Raise `InvalidRequest` with this message if the collections are in a bucket."""
        if self.bucket is not None:
            raise InvalidRequest(refusal)

    def problem(self) -> str | None:
        """Return what prevents using the whole folder, or None."""
        if not self.layout.root.is_dir():
            return f"the data folder {self.layout.root} is gone: move it back, or stop the service and set --data"
        try:
            self.require_unmoved()
        except WinnowError as error:
            return error.message
        return None

    def require_unmoved(self) -> None:
        """Check that data folder and catalog are still those that were opened. Raises `StorageMoved`."""
        self.opened.require_unmoved()
        self.catalog.database.require_unmoved()

    def collections(self) -> Sequence[Collection]:
        """Return the collections of all tenants: only for operators of the folder, never for one tenant's request."""
        return [
            each
            for tenant in self.catalog.tenants.tenants()
            for each in self.catalog.collections.of_tenant(tenant.name)
        ]

    def lease(self, tenant: TenantName, name: str) -> WriterLease:
        """Return the lease that this process's writers of the collection share."""
        return self.catalog.leases.of(tenant, name)

    def writing(
        self, tenant: TenantName, name: str, *, wait_seconds: float = 0.0
    ) -> contextlib.AbstractContextManager[None]:
        """Hold the collection's lease. Raises `CollectionBusy` after `wait_seconds`."""
        folder = self.layout.collection(tenant, name)
        return self.lease(tenant, name).writing(folder, wait_seconds=wait_seconds)

    def store(self, collection: Collection) -> LanceStore:
        """Open the store. Raises `StoreCorrupt`, and `CollectionBusy` if the collection has just been replaced."""
        folder = self.layout.collection(collection.tenant, collection.name)
        self.require_meant(collection, folder)
        place = self._place(collection, folder)
        lease = self.lease(collection.tenant, collection.name)
        return LanceStore.open_at(place, dimension=collection.embedder.dimension, lease=lease)

    def _create_store(
        self,
        collection: Collection,
        folder: CollectionFolder,
        *,
        before: CollectionFolder,
        vectors: VectorFormat,
        lease: WriterLease,
    ) -> None:
        dimension = collection.embedder.dimension
        if self.bucket is None:
            create_successor(folder.corpus, before=before.corpus, dimension=dimension, vectors=vectors, lease=lease)
        else:
            LanceStore.create_at(self._place(collection, folder), dimension=dimension, vectors=vectors, lease=lease)

    def _place(self, collection: Collection, folder: CollectionFolder) -> StorePlace:
        made = collection.created_at
        return place_of_corpus(self.bucket, collection.tenant, collection.name, made, folder)

    def describe(self, collection: Collection) -> Described:
        """Describe a collection; a damaged one with its problem, so that the others stay visible."""
        problem = None
        try:
            store = self.store(collection)
            problem = fault_of(store)
            snapshot = store.snapshot()
            documents, chunks = snapshot.counts()
        except StorageError as error:
            return Described(
                collection=collection,
                documents=None,
                chunks=None,
                attributes=None,
                store_version=None,
                word_rules=None,
                vectors=None,
                problem=problem or error.message,
            )
        return Described(
            collection=collection,
            documents=documents,
            chunks=chunks,
            attributes=snapshot.attributes() if snapshot.has_attribute_columns else None,
            store_version=snapshot.version,
            word_rules=snapshot.word_rules,
            vectors=snapshot.vector_format,
            problem=problem,
        )

    def problem_of(self, collection: Collection) -> str | None:
        """Return what prevents reading or writing a collection, as far as visible without reading all of it."""
        try:
            return fault_of(self.store(collection))
        except StorageError as error:
            return error.message

    def described(self, tenant: TenantName) -> Sequence[Described]:
        """Describe the tenant's collections, by name."""
        return [self.describe(collection) for collection in self.catalog.collections.of_tenant(tenant)]

    def make(
        self, collection: Collection, *, vectors: VectorFormat = VectorFormat.FLOAT32, by: Actor = COMMAND_LINE
    ) -> None:
        """Create a collection. The catalog's row, the commitment, is written last. The store has the `vectors` format.

        Raises `CollectionExists`, `FolderUnknown`, `CollectionBusy`, `WriteFailed`.
        """
        self.require_unmoved()
        folder = self.layout.collection(collection.tenant, collection.name)
        self._refuse_foreign(collection.tenant, folder)
        lease = self.lease(collection.tenant, collection.name)
        with lease.writing(folder, wait_seconds=self.catalog.leases.busy_seconds):
            self.require_free(collection.tenant, collection.name)
            self._require_own(collection.tenant, folder)
            self.catalog.collections.begin(collection, is_alone=True)
            with folder_moves.exchanging(folder, lease) as exchange:
                stamp_created(exchange.new, collection.created_at)
                write_facts(exchange.new, CollectionFacts.of(collection))
                self._create_store(collection, exchange.new, before=folder, vectors=vectors, lease=lease)
                with moving(folder, lease):  # from here on a fold for an earlier collection publishes nothing here
                    exchange.run()
                self._commit(collection, by=by)

    def remove(self, tenant: TenantName, name: str, *, by: Actor = COMMAND_LINE) -> None:
        """Remove a collection. The catalog's row goes first: nothing finds it then. A running fold loses its folder.

        Raises `CollectionNotFound`, `FolderUnknown`, `CollectionBusy`, `WriteFailed`.
        """
        self.require_unmoved()
        self.catalog.collections.get(tenant, name)
        folder = self.layout.collection(tenant, name)
        lease = self.lease(tenant, name)
        with lease.writing(folder, wait_seconds=self.catalog.leases.busy_seconds):
            doomed = self.catalog.collections.get(tenant, name)
            lease.renew()  # so the row was not read after another host took over
            if self.bucket is None:
                self._mark_for_removal(doomed, folder)
                pass_versions(folder.corpus, lease)
            self.catalog.collections.remove(tenant, name, made_at=doomed.created_at, folder_follows=True, by=by)
            remove(folder_moves.take_away(folder, lease))
            if self.bucket is not None:
                remove_from_bucket(self.bucket, doomed)
            self.catalog.collections.end(tenant, name, made_at=doomed.created_at)

    def change(
        self,
        tenant: TenantName,
        name: str,
        *,
        instruction: Choice = KEEP,
        reranker: Choice = KEEP,
        demote_query_echo: bool | Literal[Keep.KEEP] = KEEP,
        require_instruction: bool | Literal[Keep.KEEP] = KEEP,
        rerank_fields: FieldsChange = KEEP_FIELDS,
        embed_fields: FieldsChange = KEEP_FIELDS,
        collapse: Collapse | Literal[Keep.KEEP] = KEEP,
        mmr_lambda: float | Literal[Keep.KEEP] | None = KEEP,
        by: Actor = COMMAND_LINE,
    ) -> Collection:
        """Like `SqlCollections.change`; also raises what `check_default` and `changing_embed_fields` raise."""
        if isinstance(instruction, str):
            self.catalog.instructions.check_default(tenant, instruction, collection=name)
        is_same = embed_fields.of((now := self.catalog.collections.get(tenant, name)).embed_fields) == now.embed_fields
        with contextlib.nullcontext() if is_same else self._changing_embed_fields(tenant, name, embed_fields) as under:
            return self.catalog.collections.change(
                tenant,
                name,
                instruction=instruction,
                reranker=reranker,
                demote_query_echo=demote_query_echo,
                require_instruction=require_instruction,
                collapse=collapse,
                mmr_lambda=mmr_lambda,
                rerank_fields=rerank_fields,
                embed_fields=KEEP_FIELDS if is_same else embed_fields,
                under=under,
                by=by,
            )

    def _changing_embed_fields(
        self, tenant: TenantName, name: str, change: FieldsChange
    ) -> contextlib.AbstractContextManager[int | None]:
        self.require_unmoved()
        return changing_embed_fields(
            self.layout.collection(tenant, name),
            change,
            lease=self.lease(tenant, name),
            wait_seconds=self.catalog.leases.busy_seconds,
            read=lambda: self.catalog.collections.get(tenant, name),
            store_of=self.store,
        )

    def require_free(self, tenant: TenantName, name: str) -> None:
        """Raise `CollectionExists` if the name is taken."""
        if found_in(self.catalog, tenant, name) is not None:
            raise CollectionExists(name)

    def bring_in(
        self,
        collection: Collection,
        build: Callable[[CollectionFolder], None],
        *,
        replace: bool,
        syncer: Syncer = DISK,
    ) -> None:
        """Add a collection whose files `build` writes, complete and synced, into the folder it is given.

        Nothing waits for `build`, and nothing of it is visible; then the files are moved into place, and the catalog's
        row, the commitment, is written last. A replaced collection stays until `build` has returned. If killed during
        the exchange there is neither; repeating the call continues.

        Raises like `build`; `CollectionExists` without `replace`, `FolderUnknown`, `CollectionBusy`, `WriteFailed`.
        """
        self.require_unmoved()
        folder = self.layout.collection(collection.tenant, collection.name)
        if not replace:
            self.require_free(collection.tenant, collection.name)
        self._refuse_foreign(collection.tenant, folder)
        lease = self.lease(collection.tenant, collection.name)
        with folder_moves.restoring(folder, sharing=self.catalog.leases.sharing) as work:
            self.catalog.collections.begin(collection)
            stamp_created(work, collection.created_at, syncer=syncer)
            with folder_moves.building(work, collection.created_at):
                build(work)
            with (
                lease.writing(folder, wait_seconds=self.catalog.leases.busy_seconds),
                lease.folding(folder, wait_seconds=self.catalog.leases.busy_seconds),
            ):
                if not replace:
                    self.require_free(collection.tenant, collection.name)
                self._require_own(collection.tenant, folder)
                folder_moves.require_not_ended(work, collection.created_at)
                self.catalog.collections.begin(collection, is_alone=True)  # again: another creation has ended it
                if (old := found_in(self.catalog, collection.tenant, collection.name)) is not None:
                    lease.renew()  # so the row was not read after another host took over
                    self._mark_for_removal(old, folder, syncer=syncer)
                    self.catalog.collections.remove(old.tenant, old.name, made_at=old.created_at, folder_follows=True)
                with folder_moves.exchanging(folder, lease, syncer=syncer) as exchange:
                    write_facts(work, CollectionFacts.of(collection), syncer=syncer)
                    fence_restored(work.corpus, before=folder.corpus, lease=lease, syncer=syncer)
                    exchange.take(work)
                    with moving(folder, lease):
                        exchange.run()
                    self._commit(collection)
                folder_moves.end_restores(folder)
            remove(folder.replaced.path)  # of an earlier winnow that was killed

    def _commit(self, collection: Collection, *, by: Actor = COMMAND_LINE) -> None:
        """Add the row. Raises `CollectionBusy` if another process has begun a collection of this name meanwhile."""
        self.catalog.collections.add(collection, must_be_begun=True, by=by)
        for given_up in self.catalog.collections.begun(collection.tenant, collection.name) if not self.bucket else ():
            self.catalog.collections.forget_abandoned(collection.tenant, collection.name, given_up)  # it has no files
        self.require_unmoved()

    def _require_own(self, tenant: TenantName, folder: CollectionFolder) -> None:
        if self.bucket is None:  # else the folder is a cache; what it holds of an earlier collection is dropped
            require_own(self.catalog, tenant, folder)

    def _refuse_foreign(self, tenant: TenantName, folder: CollectionFolder) -> None:
        if self.bucket is None:
            refuse_foreign(self.catalog, tenant, folder)

    def require_meant(self, collection: Collection, folder: CollectionFolder) -> None:
        """Check that the folder holds the catalog's collection, not another one of the same name.

        Raises `StoreCorrupt`, and `CollectionBusy` if the collection has just been replaced.
        """
        found = created_at_of(folder)
        if self.bucket is not None:
            take_over_cache(collection, folder)
            return
        if found is None or found == collection.created_at:
            return
        now = found_in(self.catalog, collection.tenant, collection.name)
        if now is None or now.created_at != collection.created_at:
            raise CollectionBusy(f"{collection.name} has just been replaced")
        raise StoreCorrupt(other(folder, collection, found))

    def _mark_for_removal(self, collection: Collection, folder: CollectionFolder, *, syncer: Syncer = DISK) -> None:
        """Mark the folder as ours, however far its removal gets. Raises `FolderUnknown`."""
        found = created_at_of(folder)
        if found is None and contents_of(folder):  # created by an earlier winnow
            lease = self.lease(collection.tenant, collection.name)
            stamp = creation_stamp(collection.created_at)
            folder_moves.write_where_it_is(folder, folder.made, stamp, lease, syncer=syncer)
        elif found not in {None, collection.created_at}:
            raise FolderUnknown(other(folder, collection, found))
