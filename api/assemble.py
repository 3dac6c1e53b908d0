"""The composition root: turns settings into the object graph, once per process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from winnow.api.accounting import Accounting
from winnow.api.collections.catalog import Catalog
from winnow.api.collections.data_folder import DataFolder
from winnow.api.collections.folding import Folding
from winnow.api.collections.index_device import index_device, index_wish
from winnow.api.collections.indexing import Indexing
from winnow.api.collections.ingest import DELTA_CHUNKS_MAX, Ingest
from winnow.api.collections.open_collections import OpenCollections
from winnow.api.collections.storage_room import StorageRoom
from winnow.api.collections.uploads import Uploads
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker, load_embedding, load_reranker, load_rewriter
from winnow.api.search.caches import NO_CACHES, Caches
from winnow.api.search.conversing import Conversations
from winnow.api.search.feedback import Feedback, RecentSearches
from winnow.api.search.first_stage import FirstStage
from winnow.api.search.rerankers import Rerankers, settings_by_name
from winnow.api.search.shadowing import Shadowing
from winnow.api.search.trial import Trials
from winnow.api.search.two_stage import Search
from winnow.api.settings import Settings
from winnow.api.stability.replay import Replays
from winnow.api.stability.report import Reports
from winnow.api.stability.sampling import Sampling
from winnow.api.stability.scheduled import ScheduledReplays
from winnow.api.stability.states import Models
from winnow.api.stability.webhooks import Deliveries
from winnow.api.tenancy.access import Access
from winnow.api.tenancy.quotas import Quotas
from winnow.api.usage_meter import UsageMeter
from winnow.rerank.reranker import RecallOrder
from winnow.rerank.stopping_rule import Depth
from winnow.retrieval.catalog.sql.quotas import SqlUsageBook
from winnow.retrieval.catalog.sql.reservations import SqlReservations
from winnow.retrieval.chat.rewriting import ChatRewriter
from winnow.retrieval.index.gpu_index import IndexDevice
from winnow.retrieval.index.planner import IndexWish
from winnow.retrieval.records import RecallMode
from winnow.retrieval.vllm.pool import VllmPool
from winnow.retrieval.webhook.allowed import AllowedHosts
from winnow.retrieval.webhook.client import WebhookClient

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """All services: searching, writing, accounting."""

    settings: Settings
    access: Access
    disk: DataFolder
    embedding: LoadedEmbedder
    judging: LoadedReranker
    also: tuple[LoadedReranker, ...]  # for collections that have chosen them
    rerankers: Rerankers
    collections: OpenCollections
    search: Search
    conversations: Conversations
    trials: Trials
    feedback: Feedback
    ingest: Ingest
    uploads: Uploads
    folding: Folding
    candidates: int  # default number of candidates per search
    caches: Caches
    quotas: Quotas
    usage: UsageMeter
    accounting: Accounting
    shadowing: Shadowing
    replays: Replays
    scheduled: ScheduledReplays
    sampling: Sampling
    stability: Reports
    deliveries: Deliveries
    pools: tuple[VllmPool, ...] = ()


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


def assemble(settings: Settings, *, judged: bool = True, caches: Caches = NO_CACHES) -> Services:
    """Build the services. Without `judged` no reranker is loaded, and answers are in recall's order."""
    wanted = settings_by_name(settings).values() if judged else ()  # check names first: models take seconds
    device = index_device(settings)
    if not judged:
        embedding = load_embedding(settings)
        unjudged = LoadedReranker(reranker=RecallOrder(), runs_on="nothing", device=embedding.device)
        return wire(settings, embedding, unjudged, device=device)
    with ThreadPoolExecutor(max_workers=1) as other:  # reading, hashing and preparing weights keep no lock of Python
        loading = other.submit(load_embedding, settings)
        try:
            storage = Storage.of(settings)
            judging, *also = [
                load_reranker(each, cache=caches.judgements, weight_of=storage.quotas.weight_of) for each in wanted
            ]
        finally:
            embedding = loading.result()  # of two errors, this is the first
    return wire(settings, embedding, judging, also=also, caches=caches, device=device, storage=storage)


def wire(
    settings: Settings,
    embedding: LoadedEmbedder,
    judging: LoadedReranker,
    *,
    also: Sequence[LoadedReranker] = (),
    caches: Caches = NO_CACHES,
    device: IndexDevice | None = None,
    storage: Storage | None = None,
) -> Services:
    """Build the graph over loaded models; `also` rerank for collections that have chosen them.

    Exact indexes are searched on the `device`; without one, all are searched on the CPU.

    Raises what `Rerankers` raises, and without `storage` what `Storage.of` raises.
    """
    rerankers = Rerankers(default=judging.reranker, also=tuple(each.reranker for each in also))
    pools = (embedding.pool, judging.pool, *(each.pool for each in also))
    storage = storage or Storage.of(settings)
    disk = storage.disk
    candidates = settings.candidates_on(judging.device)
    collections = OpenCollections(
        disk=disk, embedder=embedding.embedder, queries=caches.queries, rows=caches.rows, device=device
    )
    first_stage = _first_stage(settings, collections, candidates)
    wish, catalog = index_wish(settings, device), disk.catalog
    room = StorageRoom(disk, storage.quotas, SqlReservations(catalog.database))
    ingest = _ingest(settings, embedding, collections, room, wish)
    search = Search(
        first_stage=first_stage,
        rerankers=rerankers,
        depth_default=Depth(settings.depth),
        calibrations=catalog.calibrations,
    )
    usage = UsageMeter(SqlUsageBook(catalog.database))
    accounting = Accounting(meter=usage, quotas=storage.quotas)
    shadowing = Shadowing(book=catalog.shadows.book, instructions=catalog.instructions, rerankers=rerankers)
    models = _models(settings, embedding, (judging, *also), candidates)
    replays = _replays(settings, search, collections, rerankers, models)
    return Services(
        settings=settings,
        access=Access(catalog.keys, deployment_key=settings.api_key, catalog_version=catalog.database.version),
        disk=disk,
        embedding=embedding,
        judging=judging,
        also=tuple(also),
        rerankers=rerankers,
        collections=collections,
        search=search,
        conversations=Conversations(load_rewriter(settings)),
        feedback=Feedback(searches=RecentSearches(), book=catalog.judgments, catalog=catalog.collections),
        trials=Trials(first_stage=first_stage, rerankers=rerankers),
        ingest=ingest,
        uploads=Uploads(disk=disk, collections=collections, ingest=ingest, room=room),
        folding=_folding(settings, collections, wish),
        candidates=candidates,
        caches=caches,
        quotas=storage.quotas,
        usage=usage,
        accounting=accounting,
        shadowing=shadowing,
        replays=replays,
        scheduled=_scheduled(settings, storage, replays, accounting, shadowing),
        sampling=Sampling(catalog.samples, models),
        stability=Reports(catalog.stability, catalog.samples),
        deliveries=_deliveries(settings, catalog),
        pools=tuple(pool for pool in pools if pool is not None),
    )


def _folding(settings: Settings, collections: OpenCollections, wish: IndexWish) -> Folding:
    return Folding(
        collections=collections,
        chunks_max=settings.fold_chunks,
        seconds_max=settings.fold_seconds,
        kept=settings.generations_kept,
        wish=wish,
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


def _scheduled(
    settings: Settings, storage: Storage, replays: Replays, accounting: Accounting, shadowing: Shadowing
) -> ScheduledReplays:
    return ScheduledReplays(
        replays=replays,
        schedules=storage.disk.catalog.schedules,
        charged=accounting.replaying,
        idle=shadowing.idle,
        quotas=storage.quotas,
        look_seconds=settings.replay_seconds,
    )


def _replays(
    settings: Settings, search: Search, collections: OpenCollections, rerankers: Rerankers, models: Models
) -> Replays:
    catalog = collections.disk.catalog
    return Replays(
        book=catalog.stability,
        search=search,
        collections=collections,
        instructions=catalog.instructions,
        rerankers=rerankers,
        models=models,
        timeout_ms=settings.timeout_ms,
    )


def _deliveries(settings: Settings, catalog: Catalog) -> Deliveries:
    client = WebhookClient(AllowedHosts(settings.webhook_hosts))
    return Deliveries(outbox=catalog.outbox, webhooks=catalog.webhooks, client=client)


def _models(
    settings: Settings, embedding: LoadedEmbedder, rerankers: Sequence[LoadedReranker], candidates: int
) -> Models:
    return Models(
        embedder=embedding.embedder.identity,
        embedder_runs_on=embedding.runs_on,
        rerankers={each.reranker.name: (each.revision, each.runs_on) for each in rerankers},
        candidates=candidates,
        depth=Depth(settings.depth),
    )


def assemble_indexing(settings: Settings, disk: DataFolder, embedding: LoadedEmbedder) -> Indexing:
    """Create what `winnow index` needs. It opens collections of its own: a run publishes generations itself."""
    collections = OpenCollections(disk=disk, embedder=embedding.embedder)
    ingest = Ingest(
        disk=disk,
        collections=collections,
        embedder=embedding.embedder,
        tokenizer=embedding.tokenizer,
        chunk_tokens_default=settings.chunk_tokens,
    )
    wish = index_wish(settings, index_device(settings))
    return Indexing(
        collections=collections,
        ingest=ingest,
        wish=wish,
        kept=settings.generations_kept,
        windows_max=embedding.windows_max,
    )


def _ingest(
    settings: Settings, embedding: LoadedEmbedder, collections: OpenCollections, room: StorageRoom, wish: IndexWish
) -> Ingest:
    """Create the ingest, which folds only if the service does not fold in the background."""
    return Ingest(
        disk=collections.disk,
        collections=collections,
        embedder=embedding.embedder,
        tokenizer=embedding.tokenizer,
        chunk_tokens_default=settings.chunk_tokens,
        delta_chunks_max=None if settings.fold_chunks else DELTA_CHUNKS_MAX,
        generations_kept=settings.generations_kept,
        index_wish=wish,
        room=room,
    )
