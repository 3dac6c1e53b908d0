"""Where do the parts come from? The composition root: settings in, the object graph out, once a process."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from winnow.api.collections.data_folder import Disk
from winnow.api.collections.folding import Folding
from winnow.api.collections.index_device import index_device, index_wish
from winnow.api.collections.ingest import DELTA_CHUNKS_MAX, Ingest
from winnow.api.collections.open_collections import OpenCollections
from winnow.api.search.caches import NO_CACHES, Caches
from winnow.api.search.rerankers import Rerankers, settings_by_name
from winnow.api.search.shadowing import Shadowing
from winnow.api.search.trial import Trials
from winnow.api.search.two_stage import Search
from winnow.api.settings import Settings
from winnow.api.tenancy.access import Access
from winnow.api.tenancy.quotas import Quotas
from winnow.api.tenancy.storage_room import StorageRoom
from winnow.api.tenancy.usage_meter import UsageMeter
from winnow.rerank.judgement_cache import ScoreCache
from winnow.rerank.reranker import RecallOrder, Reranker
from winnow.rerank.server_check import RerankerCheck
from winnow.rerank.stopping_rule import Depth
from winnow.rerank.torch_reranker import TorchReranker
from winnow.rerank.vllm_reranker import RERANKER_FAILURES, VllmReranker
from winnow.retrieval.catalog.sql.quotas import SqlUsageBook
from winnow.retrieval.catalog.sql.reservations import SqlReservations
from winnow.retrieval.concurrency.fair_limiter import equal
from winnow.retrieval.embed.embedder import Embedder, EmbedderIdentity
from winnow.retrieval.embed.pooled import identity_of
from winnow.retrieval.embed.qwen import QwenEmbedder
from winnow.retrieval.embed.sentence_transformers import SentenceTransformerEmbedder
from winnow.retrieval.embed.server_check import EmbedderCheck
from winnow.retrieval.embed.vllm import EMBEDDER_FAILURES, VllmEmbedder
from winnow.retrieval.index.gpu_index import IndexDevice
from winnow.retrieval.index.planner import IndexWish
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.folder import find_model
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.recall_mode import RecallMode
from winnow.retrieval.vllm.pool import VllmPool

Answer = TypeVar("Answer")

QWEN: Final = "qwen3"  # the model type that winnow runs itself; sentence-transformers runs the others


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """What embeds, and what its chunks are counted with."""

    embedder: Embedder
    tokenizer: PlainTokenizer
    runs_on: str  # for the operator: model, device, type of the numbers
    device: str
    pool: VllmPool | None = None  # of the servers that compute; None where this process does


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """What judges."""

    reranker: Reranker
    runs_on: str
    device: str
    pool: VllmPool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that answers questions and takes documents."""

    settings: Settings
    access: Access
    disk: Disk
    embedding: Embedding
    judging: Judging
    also: tuple[Judging, ...]  # where a collection has chosen them
    rerankers: Rerankers
    collections: OpenCollections
    search: Search
    trials: Trials
    ingest: Ingest
    folding: Folding
    candidates: int  # judged per search, unless it says how many
    caches: Caches
    quotas: Quotas
    usage: UsageMeter
    shadowing: Shadowing
    pools: tuple[VllmPool, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What there is before any model is loaded."""

    disk: Disk
    quotas: Quotas

    @classmethod
    def of(cls, settings: Settings) -> Ground:
        """Raises what `Disk.open` raises."""
        disk = Disk.open(settings.data, settings.catalog_url)
        return cls(disk=disk, quotas=Quotas(disk.limits, settings.limits))


@contextlib.asynccontextmanager
async def connected(*pools: VllmPool | None) -> AsyncIterator[None]:
    """Ends, with the block, what these pools have open and do in the background: in the event loop that they used."""
    try:
        yield
    finally:
        for pool in pools:
            if pool is not None:
                await pool.close()


async def closing(answering: Awaitable[Answer], *pools: VllmPool | None) -> Answer:
    """What it returns or raises, with the pools closed after it: for a command, which asks once."""
    async with connected(*pools):
        return await answering


def load_embedding(settings: Settings) -> Embedding:
    """Into memory, in seconds, unless a server has it. Raises `ModelNotFound`, `ModelUnusable`, `SettingInvalid`."""
    folder = find_model(settings.embed_model, kind="embedder")
    wanted = settings.embed_dimension
    proof = EmbedderCheck.load(folder) if settings.embed_url else None
    pool = None if proof is None else VllmPool(settings.embed_url, EMBEDDER_FAILURES, proof=proof)
    embedder: VllmEmbedder | QwenEmbedder | SentenceTransformerEmbedder
    if pool is not None:
        embedder = VllmEmbedder.load(folder, pool, dimension=wanted)
    elif folder.model_type == QWEN:
        embedder = QwenEmbedder.load(folder, device=settings.device, dtype=settings.dtype, dimension=wanted)
    else:
        embedder = SentenceTransformerEmbedder.load(folder, device=settings.device, dimension=wanted)
    return Embedding(
        embedder=embedder,
        tokenizer=PlainTokenizer.load(folder.path),
        runs_on=f"{folder.name} on {embedder.runs_on}",
        device=embedder.runs_on.partition(" ")[0],
        pool=pool,
    )


def embedder_identity(settings: Settings) -> EmbedderIdentity:
    """What `load_embedding` would load; of a Qwen3 model its weights need not be read for it. Raises the same."""
    folder = find_model(settings.embed_model, kind="embedder")
    if folder.model_type == QWEN:
        return identity_of(folder, QwenConfig.read(folder.path), dimension=settings.embed_dimension)
    return load_embedding(settings).embedder.identity


def load_reranker(
    settings: Settings,
    *,
    cache: ScoreCache | None = None,
    weight_of: Callable[[str], float] = equal,
) -> Judging:
    """As `load_embedding`. `weight_of` says how large a tenant's share is.

    Raises `ModelNotFound`, `ModelUnusable`, `SettingInvalid`.
    """
    folder = find_model(settings.rerank_model, kind="reranker")
    proof = RerankerCheck.load(folder) if settings.rerank_url else None
    pool = None if proof is None else VllmPool(settings.rerank_url, RERANKER_FAILURES, proof=proof)
    reranker: VllmReranker | TorchReranker
    if proof is not None and pool is not None:
        secret = settings.cache_secret.encode() if settings.cache_secret else secrets.token_bytes(32)
        reranker = VllmReranker.load(
            folder,
            pool,
            secret=secret,
            prompts=proof.prompts,
            cache=cache,
            weight_of=weight_of,
        )
    else:
        reranker = TorchReranker.load(
            folder,
            device=settings.device,
            dtype=settings.dtype,
            cache=cache,
            weight_of=weight_of,
        )
    return Judging(
        reranker=reranker,
        runs_on=f"{folder.name} on {reranker.runs_on}",
        device=reranker.runs_on.partition(" ")[0],
        pool=pool,
    )


def assemble(settings: Settings, *, judged: bool = True, caches: Caches = NO_CACHES) -> Parts:
    """Without `judged` no reranker is loaded, and every answer is in recall's order. Raises what its parts raise."""
    wanted = settings_by_name(settings).values() if judged else ()  # names first: models take seconds
    device = index_device(settings)
    embedding = load_embedding(settings)
    if not judged:
        unjudged = Judging(reranker=RecallOrder(), runs_on="nothing", device=embedding.device)
        return joined(settings, embedding, unjudged, device=device)
    ground = Ground.of(settings)
    judging, *also = [
        load_reranker(each, cache=caches.judgements, weight_of=ground.quotas.weight_of) for each in wanted
    ]
    return joined(settings, embedding, judging, also=also, caches=caches, device=device, ground=ground)


def joined(
    settings: Settings,
    embedding: Embedding,
    judging: Judging,
    *,
    also: Sequence[Judging] = (),
    caches: Caches = NO_CACHES,
    device: IndexDevice | None = None,
    ground: Ground | None = None,
) -> Parts:
    """The graph over models that are loaded already; `also` judge where a collection has chosen them.

    On the `device` exact indexes are searched; without one, all are on the CPU.

    Raises what `Rerankers` raises, and without `ground` what `Ground.of` raises.
    """
    rerankers = Rerankers(default=judging.reranker, also=tuple(each.reranker for each in also))
    pools = (embedding.pool, judging.pool, *(each.pool for each in also))
    ground = ground or Ground.of(settings)
    disk = ground.disk
    candidates = settings.candidates_on(judging.device)
    collections = OpenCollections(disk=disk, embedder=embedding.embedder, queries=caches.queries, device=device)
    wish = index_wish(settings, device)
    return Parts(
        settings=settings,
        access=Access(disk.keys, deployment_key=settings.api_key),
        disk=disk,
        embedding=embedding,
        judging=judging,
        also=tuple(also),
        rerankers=rerankers,
        collections=collections,
        search=Search(
            catalog=disk.catalog,
            instructions=disk.instructions,
            collections=collections,
            rerankers=rerankers,
            candidates_default=candidates,
            recall_default=RecallMode(settings.recall),
            depth_default=Depth(settings.depth),
        ),
        trials=Trials(
            catalog=disk.catalog,
            instructions=disk.instructions,
            collections=collections,
            rerankers=rerankers,
            candidates_default=candidates,
            recall_default=RecallMode(settings.recall),
        ),
        ingest=_ingest(settings, embedding, collections, ground, wish),
        folding=Folding(
            collections=collections,
            chunks_max=settings.fold_chunks,
            seconds_max=settings.fold_seconds,
            kept=settings.generations_kept,
            wish=wish,
        ),
        candidates=candidates,
        caches=caches,
        quotas=ground.quotas,
        usage=UsageMeter(SqlUsageBook(disk.database)),
        shadowing=Shadowing(book=disk.shadows.book, instructions=disk.instructions, rerankers=rerankers),
        pools=tuple(pool for pool in pools if pool is not None),
    )


def _ingest(
    settings: Settings, embedding: Embedding, collections: OpenCollections, ground: Ground, wish: IndexWish
) -> Ingest:
    """Folds itself only where nobody does so beside the service."""
    return Ingest(
        disk=ground.disk,
        collections=collections,
        embedder=embedding.embedder,
        tokenizer=embedding.tokenizer,
        chunk_tokens_default=settings.chunk_tokens,
        delta_chunks_max=None if settings.fold_chunks else DELTA_CHUNKS_MAX,
        generations_kept=settings.generations_kept,
        index_wish=wish,
        room=StorageRoom(ground.disk, ground.quotas, SqlReservations(ground.disk.database)),
    )
