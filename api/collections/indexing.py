"""Indexes a corpus from here: assembles the parts of a run, which the indexer performs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from winnow.api.collections.embed_fields import fields_said, other_fields_refused
from winnow.api.collections.ingest import Ingest
from winnow.api.collections.open_collections import OpenCollection, OpenCollections
from winnow.indexer.corpus import Corpus
from winnow.indexer.pipeline import index_corpus
from winnow.indexer.progress import Progress
from winnow.indexer.report import IndexReport
from winnow.retrieval.catalog.collections import KEEP_FIELDS, FieldsChange
from winnow.retrieval.document_fields import NO_CHOICE
from winnow.retrieval.errors import CollectionNotFound, GenerationCorrupt, InvalidRequest
from winnow.retrieval.files.locks import writing
from winnow.retrieval.generation.history import fold
from winnow.retrieval.generation.open import open_newest
from winnow.retrieval.index.planner import IndexWish
from winnow.retrieval.store.contract import StoreSnapshot
from winnow.retrieval.tenancy import DEFAULT_TENANT, TenantName

FOLD_SECONDS_MAX: Final = (
    60.0  # maximum wait at the end of a run for a service that is folding; unindexed chunks are found anyway
)


class Indexing:
    """Puts corpora into collections, creating missing ones."""

    def __init__(self, *, collections: OpenCollections, ingest: Ingest, wish: IndexWish, kept: int) -> None:
        """`kept` is the number of generations that stay, with the published one."""
        self._collections = collections
        self._ingest = ingest
        self._wish = wish
        self._kept = kept

    def open(
        self,
        name: str,
        *,
        tenant: TenantName = DEFAULT_TENANT,
        chunk_tokens: int | None = None,
        reranker: str | None = None,
        rerank_fields: FieldsChange = KEEP_FIELDS,
        embed_fields: FieldsChange = KEEP_FIELDS,
    ) -> OpenCollection:
        """Return the collection of this name, created if missing. The other arguments are requirements, if given.

        Raises `InvalidRequest` if it has another chunk size, reranker or other fields, and what `OpenCollections.get`
        raises.
        """
        try:
            opened = self._collections.get(tenant, name)
        except CollectionNotFound:
            return self._ingest.make(
                tenant,
                name,
                chunk_tokens=chunk_tokens,
                reranker=reranker,
                rerank_fields=rerank_fields.of(NO_CHOICE),
                embed_fields=embed_fields.of(NO_CHOICE),
            )
        made_with = opened.collection.chunk_tokens
        if chunk_tokens is not None and chunk_tokens != made_with:
            raise InvalidRequest(
                f"{name} has chunks of up to {made_with} tokens, not {chunk_tokens}; remove it first, or use another"
            )
        if reranker is not None and reranker != opened.collection.reranker:
            raise InvalidRequest(
                f"{name} already exists and uses {opened.collection.reranker or 'the default reranker'}; "
                f"change it with `winnow collections set-reranker {name} {reranker}`"
            )
        if rerank_fields.of(now := opened.collection.rerank_fields) != now:
            raise InvalidRequest(
                f"the reranker of {name} reads {fields_said(now)}; change that with "
                f"`winnow collections set-rerank-fields {name} FIELD...`"
            )
        if embed_fields.of(now := opened.collection.embed_fields) != now:
            raise InvalidRequest(other_fields_refused(opened.collection, "exists"))
        return opened

    async def run(
        self,
        corpus: Corpus,
        opened: OpenCollection,
        *,
        progress: Progress,
        prune: bool = False,
        prune_anyway: bool = False,
    ) -> IndexReport:
        """Run to the end, holding the writer's lock. Raises what stopped it; repeating the run continues from there."""
        with writing(opened.folder):
            self._collections.require_still(opened)
            return await index_corpus(
                corpus=corpus,
                store=opened.store,
                writer=self._ingest.writer(opened),
                publish=_make_publisher(opened, wish=self._wish, kept=self._kept),
                rejects=opened.folder.rejects,
                progress=progress,
                prune=prune,
                prune_anyway=prune_anyway,
            )


def _make_publisher(opened: OpenCollection, *, wish: IndexWish, kept: int) -> Callable[[StoreSnapshot], str]:
    """Return a function that publishes a snapshot, or reuses an intact generation of this very version."""

    def published(snapshot: StoreSnapshot) -> str:
        identity = opened.collection.embedder
        try:
            newest = open_newest(opened.folder, identity)
        except GenerationCorrupt:
            newest = None  # a run repairs it
        if newest and newest.fallback_from is None and newest.manifest.store_version == snapshot.version:
            return newest.name
        made_at = opened.collection.created_at
        manifest = fold(
            opened.folder, snapshot, identity, wish=wish, kept=kept, made_at=made_at, wait_seconds=FOLD_SECONDS_MAX
        )
        return manifest.name

    return published
