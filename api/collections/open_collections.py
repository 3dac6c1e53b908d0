"""The open collections of a process, with everything needed to search and write them.

A collection is opened by its first use and stays open. If it was deleted and created again meanwhile, by this process
or another, the catalog's row differs, and it is opened again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass, field, replace
from typing import Final

from winnow.api.collections.bucket.corpora import shared_of
from winnow.api.collections.bucket.index_cache import InUse
from winnow.api.collections.data_folder import DataFolder
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.embed.embedder import PROMPT_FORMAT, Embedder, EmbedderIdentity
from winnow.retrieval.embed.query_cache import CachedQueries, QueryCache
from winnow.retrieval.errors import CollectionBusy, ModelMismatch, WinnowError
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.lease import WriterLease
from winnow.retrieval.generation.pointer import current_name
from winnow.retrieval.generation.shared import SharedGenerations, fetch_newest
from winnow.retrieval.index.gpu_index import IndexDevice
from winnow.retrieval.search.reader import HasViews, IndexReader
from winnow.retrieval.search.recall import Recall
from winnow.retrieval.store.contract import Store
from winnow.retrieval.store.row_cache import RowCache
from winnow.retrieval.tenancy import TenantName

FETCH_SECONDS_MAX: Final = 600.0  # maximum wait for another thread or process that fetches the same index

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenCollection:
    """An open collection with its parts. Opening it twice gives two different ones."""

    collection: Collection
    folder: CollectionFolder
    lease: WriterLease
    store: Store
    searchable: IndexReader
    recall: Recall
    shared: SharedGenerations | None = None  # in a bucket
    in_use: InUse | None = None  # likewise: keeps the indexes in this host's cache
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # writers of this process wait here, not at the file lock


class OpenCollections:
    """The collections that this process has open. Methods block, and are thread-safe."""

    def __init__(
        self,
        *,
        disk: DataFolder,
        embedder: Embedder,
        queries: QueryCache | None = None,
        rows: RowCache | None = None,
        device: IndexDevice | None = None,
    ) -> None:
        """Create the collections of a process, none of them open.

        Without `queries` every query is embedded again, and without `rows` every text is read again; without `device`
        all indexes are searched on the CPU.
        """
        self.disk = disk
        self._embedder = embedder
        self._queries = queries
        self._rows = rows
        self._device = device
        self._open: dict[tuple[str, str], OpenCollection] = {}
        self._lock = threading.Lock()

    def get(self, tenant: TenantName, name: str) -> OpenCollection:
        """Return an open collection. Raises `CollectionNotFound`, `ModelMismatch`, and the leaves of `StorageError`."""
        collection = self.disk.catalog.collections.get(tenant, name)
        self._fetch_index(collection)
        with self._lock:
            known = self._open.get((tenant, name))
            if known is None or not _is_same(known.collection, collection):
                known = self._open_collection(collection)
                self._open[tenant, name] = known
            return known

    def opened(self) -> tuple[OpenCollection, ...]:
        """Return the collections opened so far, in that order. Does not block."""
        return tuple(self._open.values())

    def require_still(self, opened: OpenCollection) -> None:
        """Raise `CollectionBusy` if the collection was replaced, `CollectionNotFound` if it was removed.

        To be called after waiting for the lock: what was opened before must not write to a replacement.
        """
        mine = opened.collection
        if not _is_same(self.disk.catalog.collections.get(mine.tenant, mine.name), mine):
            raise CollectionBusy(f"{mine.name} has just been replaced, or embeds other fields now")

    def recall_of(self, collection: Collection, *, asker: TenantName) -> Recall:
        """Return recall for a collection whose catalog row was just read: an open one needs no second read.

        The cache of query vectors is the asker's own, and the cache of texts only the owner's, so that answer times
        reveal nothing of the owner's recent queries.
        """
        opened = self._open.get((collection.tenant, collection.name))
        if opened is None or opened.collection.created_at != collection.created_at:
            opened = self.get(collection.tenant, collection.name)
        if asker == collection.tenant:
            return opened.recall
        return Recall(embedder=self._embedder_for(asker), searchable=opened.searchable)

    def recall_over(self, searchable: HasViews) -> Recall:
        """Return recall over other views of a collection, without the caches."""
        return Recall(embedder=self._embedder, searchable=searchable)

    def _open_collection(self, collection: Collection) -> OpenCollection:
        mine, built = self._embedder.identity, collection.embedder
        if not mine.accepts(built):
            raise ModelMismatch(
                f"{collection.name} was built with {_describe(built)}, but {_describe(mine)} is loaded. Start with "
                f"{_flag_for(built, mine)}, or index the corpus into another collection"
            )
        folder = self.disk.layout.collection(collection.tenant, collection.name)
        store = self.disk.store(collection)
        searchable = IndexReader(folder=folder, store=store, identity=mine, device=self._device)
        return OpenCollection(
            collection=collection,
            folder=folder,
            lease=self.disk.lease(collection.tenant, collection.name),
            store=store,
            searchable=searchable,
            shared=shared_of(self.disk.bucket, collection, folder),
            in_use=None if self.disk.bucket is None else InUse(folder),
            recall=Recall(embedder=self._embedder_for(collection.tenant), searchable=searchable, rows=self._rows),
        )

    def _fetch_index(self, collection: Collection) -> None:
        """Fetch the newest index that another host has built, before a collection in a bucket is opened.

        Without it, chunks are compared one by one. A download may take long, so no other collection waits for it.
        """
        known = self._open.get((collection.tenant, collection.name))
        if self.disk.bucket is None or (known is not None and _is_same(known.collection, collection)):
            return
        folder = self.disk.layout.collection(collection.tenant, collection.name)
        self.disk.require_meant(collection, folder)
        shared = shared_of(self.disk.bucket, collection, folder)
        if shared is None or current_name(folder) is not None:
            return
        lease, made_at = self.disk.lease(collection.tenant, collection.name), collection.created_at
        using = InUse(folder)
        try:
            fetch_newest(folder, shared, made_at=made_at, lease=lease, wait_seconds=FETCH_SECONDS_MAX)
        except WinnowError as error:
            log.warning("collection %s: no index was fetched: %s", collection.name, error.message)
        finally:
            using.close()

    def _embedder_for(self, tenant: TenantName) -> Embedder:
        return self._embedder if self._queries is None else CachedQueries(self._embedder, self._queries, tenant=tenant)


def _is_same(one: Collection, other: Collection) -> bool:
    """Whether both are the same collection, and vectors of both are of the same texts."""
    return (one.created_at, one.embed_fields) == (other.created_at, other.embed_fields)


def _flag_for(built: EmbedderIdentity, mine: EmbedderIdentity) -> str:
    """Return the flag that loads the embedder of the collection."""
    if replace(built, prompt_format=mine.prompt_format) == mine:
        return "the prefixes that it was built with (--embed-query-prefix, --embed-passage-prefix), or without any"
    if (built.name, built.revision) == (mine.name, mine.revision):
        return f"--embed-dimension {built.dimension} (or without that flag, if this is the model's own)"
    return f"--embed-model {built.name}"


def _describe(identity: EmbedderIdentity) -> str:
    prompts = "" if identity.prompt_format == PROMPT_FORMAT else f", {identity.prompt_format}"
    return f"{identity.name} ({identity.dimension} dimensions, {identity.revision[:19]}{prompts})"
