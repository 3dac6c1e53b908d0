"""Embeds with any model that sentence-transformers runs, instead of a Qwen3. An optional extra.

The model's own configuration decides pooling and, unless they are given, the prefixes of queries and passages. Control
tokens in user texts are not neutralised: its tokenizer is used as it is.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from winnow.retrieval.embed.embedder import (
    DEFAULT_TASK,
    OWN_PREFIXES,
    OWN_PROMPTS,
    PROMPT_FORMAT,
    EmbedderIdentity,
    Embeddings,
    query_prompt,
)
from winnow.retrieval.errors import ModelUnusable, SettingInvalid
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.library_folder import check_vocabulary, explain_failure
from winnow.retrieval.model.library_output import silence_progress
from winnow.retrieval.model.tokenizer import encodable
from winnow.retrieval.records import Vectors

_BATCH: Final = 32  # texts; each batch is padded to its longest
_QWEN: Final = "qwen3"  # model type whose queries contain the task


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefixes:
    """The texts before queries and passages, such as `query: ` and `passage: ` of E5."""

    query: str
    passage: str
    are_own: bool = True  # of the model's folder (config_sentence_transformers.json)

    @classmethod
    def of(cls, model: Any, *, query: str | None = None, passage: str | None = None) -> Prefixes:
        """The given prefixes, else those of the model."""
        prompts: dict[str, str] = model.prompts
        own = cls(query=prompts.get("query") or "", passage=prompts.get("document") or prompts.get("passage") or "")
        found = cls(
            query=own.query if query is None else query,
            passage=own.passage if passage is None else passage,
            are_own=False,
        )
        return own if (found.query, found.passage) == (own.query, own.passage) else found

    @property
    def format(self) -> str:
        """Part of an index's identity: with other prefixes it would be searched wrongly."""
        if not self.query and not self.passage and self.are_own:
            return OWN_PROMPTS
        begin = OWN_PREFIXES if self.are_own else f"{OWN_PROMPTS} "
        return f"{begin}query={json.dumps(self.query)} passage={json.dumps(self.passage)}"


class SentenceTransformerEmbedder:
    """An `Embedder` over a `SentenceTransformer`."""

    def __init__(
        self, model: Any, identity: EmbedderIdentity, *, tokens_max: int, prefixes: Prefixes | None = None
    ) -> None:
        self._model = model
        self._prefixes = prefixes or Prefixes.of(model)
        self._identity = identity
        self._tokens_max = tokens_max
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="winnow-sentence-transformers")

    @classmethod
    def load(
        cls,
        folder: ModelFolder,
        *,
        device: str | None = None,
        dimension: int | None = None,
        query_prefix: str | None = None,
        passage_prefix: str | None = None,
    ) -> SentenceTransformerEmbedder:
        """Load the model. A prefix replaces the model's own.

        Raises `SettingInvalid` if the extra is not installed, `ModelUnusable`.
        """
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise SettingInvalid(
                f"{folder.name} needs sentence-transformers: pip install 'winnow-search[sentence-transformers]'"
            ) from error
        silence_progress()
        try:
            model = SentenceTransformer(str(folder.path), device=device)
        except Exception as error:  # the libraries' own kinds too, which they do not list
            raise ModelUnusable(explain_failure(folder, error)) from error
        check_vocabulary(folder, model.tokenizer)
        tokens_max = min(folder.settings.max_tokens, model.max_seq_length or folder.settings.max_tokens)
        model.max_seq_length = tokens_max
        own = int(model.get_embedding_dimension() or 0)
        wanted = dimension or folder.settings.dimension or own
        if not 0 < wanted <= own:
            raise SettingInvalid(f"dimension {wanted} is out of range; {folder.name} has {own} dimensions")
        prefixes = Prefixes.of(model, query=query_prefix, passage=passage_prefix)
        identity = EmbedderIdentity(
            name=folder.name,
            revision=folder.revision,
            dimension=wanted,
            prompt_format=PROMPT_FORMAT if folder.model_type == _QWEN else prefixes.format,
        )
        return cls(model, identity, tokens_max=tokens_max, prefixes=prefixes)

    @property
    def identity(self) -> EmbedderIdentity:
        return self._identity

    @property
    def runs_on(self) -> str:
        """For operators: device and library."""
        return f"{self._model.device} sentence-transformers"

    async def embed_queries(self, texts: Sequence[str], task: str = DEFAULT_TASK) -> Embeddings:
        """Embed queries. Only Qwen3 models use the task; others put their own prompt before a query."""
        if self._identity.prompt_format == PROMPT_FORMAT:
            return await self._embed([query_prompt(text, task) for text in texts])
        return await self._embed([self._prefixes.query + text for text in texts])

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        return await self._embed([self._prefixes.passage + text for text in texts])

    async def _embed(self, texts: Sequence[str]) -> Embeddings:
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._embed_now, texts)

    def _embed_now(self, texts: Sequence[str]) -> Embeddings:
        if not texts:
            return Embeddings(vectors=np.empty((0, self._identity.dimension), dtype=np.float32), tokens=0)
        written = [encodable(text) for text in texts]
        lengths = [len(ids) for ids in self._model.tokenizer(written, verbose=False)["input_ids"]]
        found = self._model.encode(
            written,
            prompt="",  # already prepended above; some models would add a default one
            batch_size=_BATCH,
            show_progress_bar=False,
            convert_to_numpy=True,
            truncate_dim=self._identity.dimension,
            normalize_embeddings=True,
        )
        return Embeddings(
            vectors=self._check(np.asarray(found, dtype=np.float32)),
            tokens=sum(min(length, self._tokens_max) for length in lengths),
            truncated=tuple(place for place, length in enumerate(lengths) if length > self._tokens_max),
        )

    def _check(self, vectors: Vectors) -> Vectors:
        lengths = np.linalg.norm(vectors, axis=1)
        if not np.isfinite(lengths).all() or (lengths < 0.5).any():  # half: neither zero nor nearly one
            raise ModelUnusable(f"{self._identity.name} returned a vector that is zero or not finite")
        return vectors
