"""Loads the models that the settings name: an embedder, and one reranker for each name."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from winnow.api.settings import Settings
from winnow.rerank.judgement_cache import ScoreCache
from winnow.rerank.reranker import Reranker
from winnow.rerank.server_check import RerankerCheck
from winnow.rerank.torch_reranker import TorchReranker
from winnow.rerank.vllm_reranker import RERANKER_FAILURES, VllmReranker
from winnow.retrieval.concurrency.fair_limiter import equal
from winnow.retrieval.embed.embedder import Embedder, EmbedderIdentity
from winnow.retrieval.embed.pooled import make_identity
from winnow.retrieval.embed.qwen import QwenEmbedder
from winnow.retrieval.embed.sentence_transformers import SentenceTransformerEmbedder
from winnow.retrieval.embed.server_check import EmbedderCheck
from winnow.retrieval.embed.vllm import EMBEDDER_FAILURES, VllmEmbedder
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.folder import find_model
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.vllm.pool import VllmPool

QWEN: Final = "qwen3"  # the model type that winnow runs itself; sentence-transformers runs the others


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedEmbedder:
    """An embedder, and the tokenizer that counts the tokens of its chunks."""

    embedder: Embedder
    tokenizer: PlainTokenizer
    runs_on: str  # for operators: model, device, number type
    device: str
    pool: VllmPool | None = None  # of the computing servers; None if this process computes


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedReranker:
    """A reranker and where it runs."""

    reranker: Reranker
    runs_on: str
    device: str
    pool: VllmPool | None = None


def load_embedding(settings: Settings) -> LoadedEmbedder:
    """Load the embedder, in seconds, or use servers. Raises `ModelNotFound`, `ModelUnusable`, `SettingInvalid`."""
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
    return LoadedEmbedder(
        embedder=embedder,
        tokenizer=PlainTokenizer.load(folder.path),
        runs_on=f"{folder.name} on {embedder.runs_on}",
        device=embedder.runs_on.partition(" ")[0],
        pool=pool,
    )


def embedder_identity(settings: Settings) -> EmbedderIdentity:
    """Return the identity that `load_embedding` would load; reads no weights of a Qwen3 model. Raises the same."""
    folder = find_model(settings.embed_model, kind="embedder")
    if folder.model_type == QWEN:
        return make_identity(folder, QwenConfig.read(folder.path), dimension=settings.embed_dimension)
    return load_embedding(settings).embedder.identity


def load_reranker(
    settings: Settings,
    *,
    cache: ScoreCache | None = None,
    weight_of: Callable[[str], float] = equal,
) -> LoadedReranker:
    """Load a reranker, like `load_embedding`. `weight_of` returns the weight of a tenant's share.

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
    return LoadedReranker(
        reranker=reranker,
        runs_on=f"{folder.name} on {reranker.runs_on}",
        device=reranker.runs_on.partition(" ")[0],
        pool=pool,
    )
