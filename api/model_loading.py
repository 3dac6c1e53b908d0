"""Loads the models that the settings name: an embedder, and one reranker for each name.

torch takes over a second of CPU and 180 MB to import. It is imported only when this process computes, not when servers
or workers do.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from winnow.api.reranker_choice import QWEN, RerankerForm, find_reranker, form_of, template_of
from winnow.api.settings import Settings
from winnow.rerank.judgement_cache import ScoreCache
from winnow.rerank.reranker import Reranker
from winnow.rerank.server_check import RerankerCheck
from winnow.rerank.vllm_reranker import RERANKER_FAILURES, VllmReranker
from winnow.retrieval.chat.client import ChatClient
from winnow.retrieval.chat.rewriting import ChatRewriter
from winnow.retrieval.concurrency.fair_limiter import equal
from winnow.retrieval.embed.embedder import Embedder, EmbedderIdentity
from winnow.retrieval.embed.pooled import PooledEmbedder, make_identity
from winnow.retrieval.embed.sentence_transformers import SentenceTransformerEmbedder
from winnow.retrieval.embed.server_check import EmbedderCheck
from winnow.retrieval.embed.vllm import EMBEDDER_FAILURES, VllmEmbedder
from winnow.retrieval.errors import SettingInvalid
from winnow.retrieval.limits import REWRITES_IN_FLIGHT_MAX
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.folder import ModelFolder, find_model
from winnow.retrieval.model.memory import ModelMemory
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.vllm.pool import VllmPool

if TYPE_CHECKING:
    from winnow.rerank.cross_encoder import CrossEncoderReranker
    from winnow.rerank.torch_reranker import TorchReranker
    from winnow.retrieval.embed.qwen import QwenEmbedder


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedEmbedder:
    """An embedder, and the tokenizer that counts the tokens of its chunks."""

    embedder: Embedder
    tokenizer: PlainTokenizer
    runs_on: str  # for operators: model, device, number type
    device: str
    pool: VllmPool | None = None  # of the computing servers; None if this process computes
    windows_max: int = 1  # windows of a corpus that it embeds at once
    memory: Callable[[], ModelMemory] | None = None  # None: not known, or not in this process


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedReranker:
    """A reranker and where it runs."""

    reranker: Reranker
    runs_on: str
    device: str
    pool: VllmPool | None = None
    revision: str = ""  # SHA-256 over the weights, or the hub's commit
    memory: Callable[[], ModelMemory] | None = None


def load_embedding(settings: Settings) -> LoadedEmbedder:
    """Load the embedder, in seconds, or use servers. Raises `ModelNotFound`, `ModelUnusable`, `SettingInvalid`."""
    folder = find_model(settings.embed_model, kind="embedder", source=settings.model_source)
    wanted = settings.embed_dimension
    proof = EmbedderCheck.load(folder) if settings.embed_url else None
    pool = None if proof is None else VllmPool(settings.embed_url, EMBEDDER_FAILURES, proof=proof)
    embedder: VllmEmbedder | QwenEmbedder | SentenceTransformerEmbedder
    memory: Callable[[], ModelMemory] | None = None
    if pool is not None:
        embedder = VllmEmbedder.load(folder, pool, dimension=wanted)
    elif folder.model_type == QWEN:
        from winnow.retrieval.embed.qwen import QwenEmbedder

        _refuse_prefixes(settings, folder)
        embedder = QwenEmbedder.load(folder, device=settings.device, dtype=settings.dtype, dimension=wanted)
        memory = embedder.memory
    else:
        embedder = SentenceTransformerEmbedder.load(
            folder,
            device=settings.device,
            dimension=wanted,
            query_prefix=settings.embed_query_prefix,
            passage_prefix=settings.embed_passage_prefix,
        )
    return LoadedEmbedder(
        embedder=embedder,
        tokenizer=embedder.tokenizer if isinstance(embedder, PooledEmbedder) else PlainTokenizer.load(folder.path),
        runs_on=f"{folder.name} on {embedder.runs_on}",
        device=embedder.runs_on.partition(" ")[0],
        pool=pool,
        memory=memory,
    )


def load_embedder(settings: Settings) -> Embedder:
    """Load the embedder alone: a worker of another machine, which may have another working directory, calls this."""
    return load_embedding(settings).embedder


def embedder_identity(settings: Settings) -> EmbedderIdentity:
    """Return the identity that `load_embedding` would load; reads no weights of a Qwen3 model. Raises the same."""
    folder = find_model(settings.embed_model, kind="embedder", source=settings.model_source)
    if folder.model_type == QWEN:
        _refuse_prefixes(settings, folder)
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
    folder = find_reranker(settings)
    template = template_of(settings, folder)
    form = form_of(folder, template)
    if settings.rerank_url:
        return _served_reranker(settings, folder, form, cache=cache, weight_of=weight_of)
    if folder.model_type == QWEN:
        from winnow.rerank.torch_reranker import TorchReranker

        own = TorchReranker.load(
            folder, device=settings.device, dtype=settings.dtype, template=template, cache=cache, weight_of=weight_of
        )
        return replace(_loaded(folder, own), memory=own.memory)
    from winnow.rerank.cross_encoder import CrossEncoderReranker

    reranker = CrossEncoderReranker.load(
        folder,
        device=settings.device,
        dtype=settings.dtype,
        backend=settings.rerank_backend,
        template=template,
        cache=cache,
        weight_of=weight_of,
    )
    return _loaded(folder, reranker)


def _served_reranker(
    settings: Settings,
    folder: ModelFolder,
    form: RerankerForm,
    *,
    cache: ScoreCache | None,
    weight_of: Callable[[str], float],
) -> LoadedReranker:
    if form is not RerankerForm.QWEN3:
        raise SettingInvalid(
            f"rerank_url is for models that are asked like Qwen3-Reranker; {folder.name} runs in this process. Leave "
            "the URL out"
        )
    proof = RerankerCheck.load(folder)
    pool = VllmPool(settings.rerank_url, RERANKER_FAILURES, proof=proof)
    reranker = VllmReranker.load(
        folder, pool, secret=_secret(settings), prompts=proof.prompts, cache=cache, weight_of=weight_of
    )
    return _loaded(folder, reranker, pool)


def _loaded(
    folder: ModelFolder, reranker: VllmReranker | TorchReranker | CrossEncoderReranker, pool: VllmPool | None = None
) -> LoadedReranker:
    return LoadedReranker(
        reranker=reranker,
        runs_on=f"{folder.name} on {reranker.runs_on}",
        device=reranker.runs_on.partition(" ")[0],
        pool=pool,
        revision=folder.revision,
    )


def load_rewriter(settings: Settings) -> ChatRewriter | None:
    """Create the client of the chat model that rewrites conversations, if there is one. Calls nothing.

    Raises `SettingInvalid`.
    """
    if settings.rewrite_url is None:
        if settings.rewrite_model is not None:
            raise SettingInvalid("rewrite_model needs rewrite_url, the server that has the model")
        return None
    if settings.rewrite_model is None:
        raise SettingInvalid("rewrite_url needs rewrite_model, the name of the chat model at that server")
    client = ChatClient(
        settings.rewrite_url,
        model=settings.rewrite_model,
        key=settings.rewrite_key,
        connections_max=REWRITES_IN_FLIGHT_MAX + 1,  # a check beside them
    )
    return ChatRewriter(client, secret=_secret(settings), timeout_ms=settings.rewrite_timeout_ms)


def secret_problem(settings: Settings) -> str | None:
    """Return why processes that share a catalog share no prefix cache of their vLLM servers, or None."""
    asks_servers = settings.rerank_url or settings.rewrite_url or any(each.urls for each in settings.rerank_also)
    if settings.cache_secret or settings.catalog_url is None or not asks_servers:
        return None
    return (
        "WINNOW_CACHE_SECRET is not set: each service on this catalog has a secret of its own, so model servers "
        "compute again what they computed for another one, and after each restart. Set the same secret for all services"
    )


def _secret(settings: Settings) -> bytes:
    return settings.cache_secret.encode() if settings.cache_secret else secrets.token_bytes(32)


def _refuse_prefixes(settings: Settings, folder: ModelFolder) -> None:
    if settings.embed_query_prefix is not None or settings.embed_passage_prefix is not None:
        raise SettingInvalid(
            f"embed_query_prefix and embed_passage_prefix are not for {folder.name}: queries of Qwen3-Embedding begin "
            "with a task, which the instruction sets"
        )
