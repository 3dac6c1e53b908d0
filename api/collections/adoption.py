"""Adds a collection found in the data folder to the catalog, on explicit request.

This recovers from a lost catalog, and from a catalog's backup that is older than the data folder. Documents stay as
they are: the collection's properties are read from its folder, and its store is opened and counted first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from winnow.api.collections.data_folder import DataFolder
from winnow.api.collections.unregistered import strangers
from winnow.retrieval.catalog.collection_facts import CollectionFacts, read_facts
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.catalog.sql.leases.writer_lease import BUSY_SECONDS_MAX
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import CollectionExists, CollectionNotFound, FolderUnknown
from winnow.retrieval.files.layout import CollectionFolder, created_at_of, creation_stamp
from winnow.retrieval.generation.open import check_generation
from winnow.retrieval.generation.pointer import moving, names
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.tenancy import COMMAND_LINE, Actor, TenantName


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """A collection that is now in the catalog."""

    collection: Collection
    documents: int
    chunks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Presumed:
    """Properties for a collection whose folder lacks them, because an earlier winnow created it."""

    embedder: Callable[[], EmbedderIdentity]  # called only if no index has it
    chunk_tokens: int


def adoptable(disk: DataFolder, tenant: TenantName) -> list[str]:
    """Return the names of this tenant's folders that have a corpus but are not in the catalog."""
    return [
        each.path.name
        for each in strangers(disk)
        if each.is_unknown and each.tenant == tenant and CollectionFolder(each.path).corpus.is_dir()
    ]


def adopt(disk: DataFolder, tenant: TenantName, name: str, *, presumed: Presumed, by: Actor = COMMAND_LINE) -> Adopted:
    """Adopt a collection. Raises `CollectionNotFound` if there is no corpus, `CollectionExists` if the catalog has it,
    `StoreCorrupt`, `CollectionBusy`, `WriterSuperseded`, and what `presumed` raises.
    """
    folder = disk.layout.collection(tenant, name)
    if not folder.corpus.is_dir():
        raise CollectionNotFound(f"{name}; its folder has no corpus to adopt")
    lease = disk.lease(tenant, name)
    with lease.writing(folder, wait_seconds=BUSY_SECONDS_MAX):
        known = next((each for each in disk.catalog.collections.of_tenant(tenant) if each.name == name), None)
        made = created_at_of(folder)
        if known is not None and made in {None, known.created_at}:
            raise CollectionExists(name)
        if made is None and folder.made.exists():
            raise FolderUnknown(
                f"{name}: its file `made` is damaged; remove that file to adopt it with the current time"
            )
        facts = read_facts(folder) or CollectionFacts(
            embedder=_embedder_of(folder) or presumed.embedder(), chunk_tokens=presumed.chunk_tokens
        )
        documents, chunks = LanceStore.open(folder.corpus, dimension=facts.embedder.dimension).snapshot().counts()
        collection = _collection(known, tenant, name, facts, made or datetime.now(UTC))
        with moving(folder, lease) as move:
            lease.renew()  # so everything above was read before another host took over
            if made is None:
                move.write(folder.made, creation_stamp(collection.created_at))
            move.write(folder.facts, facts.written())
        disk.catalog.collections.adopt(collection, under=lease.token(), by=by)
    return Adopted(collection=collection, documents=documents, chunks=chunks)


def _collection(
    known: Collection | None, tenant: TenantName, name: str, facts: CollectionFacts, made: datetime
) -> Collection:
    """Return the row; an existing one keeps its instruction and reranker."""
    if known is not None:
        return replace(
            known,
            embedder=facts.embedder,
            chunk_tokens=facts.chunk_tokens,
            embed_fields=facts.embed_fields,
            created_at=made,
        )
    return Collection(
        tenant=tenant,
        name=name,
        embedder=facts.embedder,
        chunk_tokens=facts.chunk_tokens,
        embed_fields=facts.embed_fields,
        created_at=made,
    )


def _embedder_of(folder: CollectionFolder) -> EmbedderIdentity | None:
    """Return the embedder of its newest readable index, or None."""
    manifests = (check_generation(folder, name, thorough=False)[0] for name in names(folder))
    return next((manifest.embedder for manifest in manifests if manifest is not None), None)
