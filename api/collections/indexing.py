"""Indexes a corpus from here: assembles the parts of a run, which the indexer performs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from winnow.api.collections.cleaning_up import remove_retired
from winnow.api.collections.ingest import Ingest
from winnow.api.collections.open_collections import OpenCollection, OpenCollections
from winnow.api.collections.requirements import ANY, Requirements
from winnow.indexer.corpus import Corpus
from winnow.indexer.pipeline import index_corpus
from winnow.indexer.progress import Progress
from winnow.indexer.report import IndexReport
from winnow.retrieval.concurrency.tasks import run_to_completion
from winnow.retrieval.document_fields import NO_CHOICE
from winnow.retrieval.errors import CollectionBusy, CollectionNotFound, WriteFailed, WriterSuperseded
from winnow.retrieval.generation.history import fold
from winnow.retrieval.generation.open import check_generation
from winnow.retrieval.generation.pointer import current_name
from winnow.retrieval.index.planner import IndexWish
from winnow.retrieval.store.contract import StoreSnapshot
from winnow.retrieval.tenancy import DEFAULT_TENANT, TenantName
from winnow.retrieval.vector_format import VectorFormat

FOLD_SECONDS_MAX: Final = (
    60.0  # maximum wait at the end of a run for a service that is folding; unindexed chunks are found anyway
)


log = logging.getLogger(__name__)


class Indexing:
    """Puts corpora into collections, creating missing ones."""

    def __init__(
        self, *, collections: OpenCollections, ingest: Ingest, wish: IndexWish, kept: int, windows_max: int = 1
    ) -> None:
        """`kept` is the number of generations that stay, with the published one.

        The embedder gets up to `windows_max` windows at once.
        """
        self._collections = collections
        self._ingest = ingest
        self._wish = wish
        self._kept = kept
        self._windows_max = windows_max

    def open(self, name: str, required: Requirements = ANY, *, tenant: TenantName = DEFAULT_TENANT) -> OpenCollection:
        """Return the collection of this name, created if missing.

        Raises `InvalidRequest` if it is made otherwise than required, and what `OpenCollections.get` raises.
        """
        try:
            opened = self._collections.get(tenant, name)
        except CollectionNotFound:
            return self._ingest.make(
                tenant,
                name,
                chunk_tokens=required.chunk_tokens,
                reranker=required.reranker,
                rerank_fields=required.rerank_fields.of(NO_CHOICE),
                embed_fields=required.embed_fields.of(NO_CHOICE),
                vectors=required.vectors or VectorFormat.FLOAT32,
            )
        required.check(opened.collection, opened.store.vector_format)
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
        with self._collections.disk.writing(opened.collection.tenant, opened.collection.name):
            self._collections.require_still(opened)
            report = await index_corpus(
                corpus=corpus,
                store=opened.store,
                writer=self._ingest.writer(opened),
                publish=_make_publisher(opened, wish=self._wish, kept=self._kept),
                rejects=opened.folder.rejects,
                progress=progress,
                prune=prune,
                prune_anyway=prune_anyway,
                windows_max=self._windows_max,
            )
            await self._clean_up(opened)
            return report

    async def _clean_up(self, opened: OpenCollection) -> None:
        """Remove old files. The run stands even if this fails: the next one tries again."""
        try:
            while await run_to_completion(opened.store.remove_old_versions):
                continue
            await run_to_completion(partial(remove_retired, opened, kept=self._kept))
        except (CollectionBusy, WriteFailed, WriterSuperseded) as error:
            log.warning("collection %s: old files stay: %s", opened.collection.name, error.message)


def _make_publisher(opened: OpenCollection, *, wish: IndexWish, kept: int) -> Callable[[StoreSnapshot], str]:
    """Return a function that publishes a snapshot, or reuses an intact generation of this very version."""

    def published(snapshot: StoreSnapshot) -> str:
        identity, current = opened.collection.embedder, current_name(opened.folder)
        newest = None if current is None else check_generation(opened.folder, current)[0]  # a run repairs a damaged one
        if newest and newest.store_version == snapshot.version and identity.accepts(newest.embedder):
            return newest.name
        manifest = fold(
            opened.folder,
            snapshot,
            identity,
            wish=wish,
            kept=kept,
            made_at=opened.collection.created_at,
            wait_seconds=FOLD_SECONDS_MAX,
            lease=opened.lease,
            shared=opened.shared,
        )
        return manifest.name

    return published
