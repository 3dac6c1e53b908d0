"""Embeds texts as Qwen3-Embedding requires, whatever computes the states.

The id of `<|endoftext|>` is appended after the text was cut, so it is always the token that is pooled. The tokenizer's
post-processor cannot do that: the reranker's tokenizer has none, and a truncating one may cut it off. Nor is it left to
a server: with equal ids everywhere, an index built with one can be searched with another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol, Self

import numpy as np

from winnow.retrieval.embed.embedder import DEFAULT_TASK, EmbedderIdentity, Embeddings, Passage, query_prompt
from winnow.retrieval.errors import ModelUnusable, SettingInvalid
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.tokenizer import PlainTokenizer, token_ids
from winnow.retrieval.records import Vectors

END: Final = "<|endoftext|>"


class States(Protocol):
    """Computes the state at the end of each sequence. Raises `UnavailableError` leaves."""

    @property
    def runs_on(self) -> str: ...

    async def last_states(self, sequences: Sequence[Sequence[int]]) -> Vectors:
        """(len(sequences), the model's width), not normalised."""
        ...


class PooledEmbedder:
    """An `Embedder` over `States`."""

    def __init__(
        self,
        states: States,
        tokenizer: PlainTokenizer,
        *,
        end_id: int,
        identity: EmbedderIdentity,
        tokens_max: int,
    ) -> None:
        """`tokens_max` includes the end mark; a longer text is cut at its end."""
        assert tokens_max > 1, "room for a token and the end mark. This is a bug."
        self.tokenizer = tokenizer
        self._states = states
        self._end_id = end_id
        self._identity = identity
        self._tokens_max = tokens_max

    @classmethod
    def over(cls, states: States, folder: ModelFolder, *, dimension: int | None) -> Self:
        """Use the tokenizer and the identity of this folder. Raises `ModelUnusable`, `SettingInvalid`."""
        config = QwenConfig.read(folder.path)
        return cls(
            states,
            PlainTokenizer.load(folder.path),
            end_id=token_ids(folder.path, END)[0],
            identity=make_identity(folder, config, dimension=dimension),
            tokens_max=config.window(folder.settings.max_tokens),
        )

    @property
    def identity(self) -> EmbedderIdentity:
        return self._identity

    @property
    def runs_on(self) -> str:
        """For operators: device and number format, or the servers."""
        return self._states.runs_on

    def with_dimension(self, dimension: int) -> PooledEmbedder:
        """The same model with vectors of this many dimensions; shares the weights."""
        assert dimension > 0, "vectors have dimensions. This is a bug."
        return PooledEmbedder(
            self._states,
            self.tokenizer,
            end_id=self._end_id,
            identity=replace(self._identity, dimension=dimension),
            tokens_max=self._tokens_max,
        )

    async def embed_queries(self, texts: Sequence[str], task: str = DEFAULT_TASK) -> Embeddings:
        return await self._embed([query_prompt(text, task) for text in texts])

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        return await self._embed(texts)

    async def embed_tokenised(self, passages: Sequence[Passage]) -> Embeddings:
        """Like `embed_passages`; only a passage without tokens is encoded."""
        unknown = [passage.text for passage in passages if passage.ids is None]
        encoded = iter(await asyncio.to_thread(self.tokenizer.ids_batch, unknown) if unknown else [])
        return await self._pool([next(encoded) if each.ids is None else each.ids for each in passages])

    async def _embed(self, texts: Sequence[str]) -> Embeddings:
        return await self._pool(await asyncio.to_thread(self.tokenizer.ids_batch, texts))

    async def _pool(self, ids: Sequence[Sequence[int]]) -> Embeddings:
        room = self._tokens_max - 1
        ended = [[*found[:room], self._end_id] for found in ids]
        states = await self._states.last_states(ended)
        return Embeddings(
            vectors=self._normalise(states),
            tokens=sum(len(sequence) for sequence in ended),
            truncated=tuple(position for position, found in enumerate(ids) if len(found) > room),
        )

    def _normalise(self, states: Vectors) -> Vectors:
        """Truncate first, then normalise: the other order leaves vectors that are too short."""
        kept = states[:, : self._identity.dimension]
        lengths = np.linalg.norm(kept, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or (lengths == 0.0).any():
            raise ModelUnusable(f"{self._identity.name} returned a vector that is zero or not finite")
        return np.asarray(kept / lengths, dtype=np.float32)


def own_dimension(folder: ModelFolder) -> int:
    """Dimensions of an embedder's vectors where no others are asked for."""
    return folder.settings.dimension or QwenConfig.read(folder.path).hidden


def make_identity(folder: ModelFolder, config: QwenConfig, *, dimension: int | None) -> EmbedderIdentity:
    """Identity of the embedder, known before the weights are read. Raises `SettingInvalid`."""
    wanted = dimension or folder.settings.dimension or config.hidden
    if not 0 < wanted <= config.hidden:
        raise SettingInvalid(f"dimension {wanted} is out of range; {folder.name} has {config.hidden} dimensions")
    return EmbedderIdentity(name=folder.name, revision=folder.revision, dimension=wanted)
