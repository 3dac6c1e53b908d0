"""The part of the object graph that a search needs, for a command that does nothing else, and for `assemble`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from winnow.api.collections.data_folder import DataFolder
from winnow.api.collections.index_device import index_device
from winnow.api.collections.open_collections import OpenCollections
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker, load_embedding, load_reranker
from winnow.api.search.caches import NO_CACHES, Caches
from winnow.api.search.first_stage import FirstStage
from winnow.api.search.rerankers import Rerankers, settings_by_name
from winnow.api.search.two_stage import Search
from winnow.api.settings import Settings
from winnow.api.tenancy.quotas import Quotas
from winnow.rerank.reranker import RecallOrder
from winnow.rerank.stopping_rule import Depth
from winnow.retrieval.chat.rewriting import ChatRewriter
from winnow.retrieval.index.gpu_index import IndexDevice
from winnow.retrieval.interrupts import ending_at_once
from winnow.retrieval.records import RecallMode
from winnow.retrieval.vllm.pool import VllmPool

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What exists before any model is loaded."""

    disk: DataFolder
    quotas: Quotas

    @classmethod
    def of(cls, settings: Settings) -> Storage:
        """Open the data folder. Raises what `DataFolder.open` raises."""
        disk = DataFolder.of(settings)
        return cls(
            disk=disk,
            quotas=Quotas(disk.catalog.limits, settings.limits, catalog_version=disk.catalog.database.version),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Searching:
    """A search, and what it is made of."""

    storage: Storage
    embedding: LoadedEmbedder
    judging: LoadedReranker
    also: tuple[LoadedReranker, ...]  # for collections that have chosen them
    rerankers: Rerankers
    collections: OpenCollections
    first_stage: FirstStage
    search: Search
    candidates: int  # default number of candidates per search
    caches: Caches
    device: IndexDevice | None
    pools: tuple[VllmPool, ...]


@contextlib.asynccontextmanager
async def closing_pools(*pools: VllmPool | ChatRewriter | None) -> AsyncIterator[None]:
    """Close these pools after the block, in the event loop that they used."""
    try:
        yield
    finally:
        for pool in pools:
            if pool is not None:
                await pool.close()


async def closing(answering: Awaitable[Answer], *pools: VllmPool | None) -> Answer:
    """Return or raise what `answering` does, and close the pools: for a command, which asks once."""
    async with closing_pools(*pools):
        return await answering


def assemble_search(settings: Settings, *, judged: bool = True, caches: Caches = NO_CACHES) -> Searching:
    """Load the models and open the data folder. Without `judged` no reranker is loaded, and answers are in recall's
    order.
    """
    wanted = settings_by_name(settings).values() if judged else ()  # check names first: models take seconds
    device = index_device(settings)
    if not judged:
        embedding = load_embedding(settings)
        unjudged = LoadedReranker(reranker=RecallOrder(), runs_on="nothing", device=embedding.device)
        return wire_search(settings, embedding, unjudged, device=device)
    with (
        ending_at_once(),  # no thread may meet a module that an interrupt left half imported
        ThreadPoolExecutor(max_workers=1) as other,  # reading, hashing and preparing weights keep no lock of Python
    ):
        loading = other.submit(load_embedding, settings)
        try:
            storage = Storage.of(settings)
            judging, *also = [
                load_reranker(each, cache=caches.judgements, weight_of=storage.quotas.weight_of) for each in wanted
            ]
        finally:
            embedding = loading.result()  # of two errors, this is the first
    return wire_search(settings, embedding, judging, also=also, caches=caches, device=device, storage=storage)


def wire_search(
    settings: Settings,
    embedding: LoadedEmbedder,
    judging: LoadedReranker,
    *,
    also: Sequence[LoadedReranker] = (),
    caches: Caches = NO_CACHES,
    device: IndexDevice | None = None,
    storage: Storage | None = None,
) -> Searching:
    """Build a search over loaded models, as `wire` of api/assemble.py says."""
    rerankers = Rerankers(default=judging.reranker, also=tuple(each.reranker for each in also))
    pools = (embedding.pool, judging.pool, *(each.pool for each in also))
    storage = storage or Storage.of(settings)
    candidates = settings.candidates_on(judging.device)
    collections = OpenCollections(
        disk=storage.disk, embedder=embedding.embedder, queries=caches.queries, rows=caches.rows, device=device
    )
    first_stage = _first_stage(settings, collections, candidates)
    search = Search(
        first_stage=first_stage,
        rerankers=rerankers,
        depth_default=Depth(settings.depth),
        calibrations=storage.disk.catalog.calibrations,
    )
    return Searching(
        storage=storage,
        embedding=embedding,
        judging=judging,
        also=tuple(also),
        rerankers=rerankers,
        collections=collections,
        first_stage=first_stage,
        search=search,
        candidates=candidates,
        caches=caches,
        device=device,
        pools=tuple(pool for pool in pools if pool is not None),
    )


def _first_stage(settings: Settings, collections: OpenCollections, candidates: int) -> FirstStage:
    catalog = collections.disk.catalog
    return FirstStage(
        catalog=catalog.collections,
        instructions=catalog.instructions,
        collections=collections,
        candidates_default=candidates,
        recall_default=RecallMode(settings.recall),
        catalog_version=catalog.database.version,
    )
