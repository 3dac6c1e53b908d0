"""The composition root: turns settings into the object graph, once per process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from winnow.api.accounting import Accounting
from winnow.api.assemble_search import Searching, Storage, assemble_search, wire_search
from winnow.api.collections.catalog import Catalog
from winnow.api.collections.data_folder import DataFolder
from winnow.api.collections.folding import Folding
from winnow.api.collections.index_device import index_device, index_wish
from winnow.api.collections.indexing import Indexing
from winnow.api.collections.ingest import DELTA_CHUNKS_MAX, Ingest
from winnow.api.collections.open_collections import OpenCollections
from winnow.api.collections.storage_room import StorageRoom
from winnow.api.collections.uploads import Uploads
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker, load_rewriter
from winnow.api.search.caches import NO_CACHES, Caches
from winnow.api.search.conversing import Conversations
from winnow.api.search.feedback import Feedback, RecentSearches
from winnow.api.search.rerankers import Rerankers
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
from winnow.rerank.stopping_rule import Depth
from winnow.retrieval.catalog.sql.quotas import SqlUsageBook
from winnow.retrieval.catalog.sql.reservations import SqlReservations
from winnow.retrieval.index.gpu_index import IndexDevice
from winnow.retrieval.index.planner import IndexWish
from winnow.retrieval.vllm.pool import VllmPool
from winnow.retrieval.webhook.allowed import AllowedHosts
from winnow.retrieval.webhook.client import WebhookClient


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


def assemble(settings: Settings, *, judged: bool = True, caches: Caches = NO_CACHES) -> Services:
    """Build the services. Without `judged` no reranker is loaded, and answers are in recall's order."""
    return _services(settings, assemble_search(settings, judged=judged, caches=caches))


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
    searching = wire_search(settings, embedding, judging, also=also, caches=caches, device=device, storage=storage)
    return _services(settings, searching)


def _services(settings: Settings, searching: Searching) -> Services:
    storage, embedding, judging = searching.storage, searching.embedding, searching.judging
    disk, collections, rerankers = storage.disk, searching.collections, searching.rerankers
    wish, catalog = index_wish(settings, searching.device), disk.catalog
    room = StorageRoom(disk, storage.quotas, SqlReservations(catalog.database))
    ingest = _ingest(settings, embedding, collections, room, wish)
    usage = UsageMeter(SqlUsageBook(catalog.database))
    accounting = Accounting(meter=usage, quotas=storage.quotas)
    shadowing = Shadowing(book=catalog.shadows.book, instructions=catalog.instructions, rerankers=rerankers)
    models = _models(settings, embedding, (judging, *searching.also), searching.candidates)
    replays = _replays(settings, searching.search, collections, rerankers, models)
    return Services(
        settings=settings,
        access=Access(catalog.keys, deployment_key=settings.api_key, catalog_version=catalog.database.version),
        disk=disk,
        embedding=embedding,
        judging=judging,
        also=searching.also,
        rerankers=rerankers,
        collections=collections,
        search=searching.search,
        conversations=Conversations(load_rewriter(settings)),
        feedback=Feedback(searches=RecentSearches(), book=catalog.judgments, catalog=catalog.collections),
        trials=Trials(first_stage=searching.first_stage, rerankers=rerankers),
        ingest=ingest,
        uploads=Uploads(disk=disk, collections=collections, ingest=ingest, room=room),
        folding=_folding(settings, collections, wish),
        candidates=searching.candidates,
        caches=searching.caches,
        quotas=storage.quotas,
        usage=usage,
        accounting=accounting,
        shadowing=shadowing,
        replays=replays,
        scheduled=_scheduled(settings, storage, replays, accounting, shadowing),
        sampling=Sampling(catalog.samples, models),
        stability=Reports(catalog.stability, catalog.samples),
        deliveries=_deliveries(settings, catalog),
        pools=searching.pools,
    )


def _folding(settings: Settings, collections: OpenCollections, wish: IndexWish) -> Folding:
    return Folding(
        collections=collections,
        chunks_max=settings.fold_chunks,
        seconds_max=settings.fold_seconds,
        kept=settings.generations_kept,
        wish=wish,
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
