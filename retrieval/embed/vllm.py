"""Qwen3-Embedding on one or several vLLM servers.

The model's folder must be on this machine, too: its tokenizer makes the ids, and the hash of its weights is the
identity. So an index built in process can be searched through a server, and the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self

from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.pooled import PooledEmbedder
from winnow.retrieval.errors import EmbedderUnavailable, Overloaded
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.records import Vectors
from winnow.retrieval.vllm.pool import Failures, VllmPool

EMBEDDER_FAILURES: Final = Failures(
    timeout=EmbedderUnavailable,
    overloaded=Overloaded,
    unavailable=EmbedderUnavailable,
    breaker_open=EmbedderUnavailable,
)


class VllmEmbedder(PooledEmbedder):
    """An `Embedder` over a `VllmPool` with `EMBEDDER_FAILURES`."""

    @classmethod
    def load(cls, folder: ModelFolder, pool: VllmPool, *, dimension: int | None = None) -> Self:
        """Create the embedder; calls no server yet. Raises `ModelUnusable`, `SettingInvalid`."""
        states = _ServedStates(pool, width=QwenConfig.read(folder.path).hidden)
        return cls.over(states, folder, dimension=dimension)


class _ServedStates:
    """The servers' pooled vectors. They are normalised; truncating and normalising them again is harmless."""

    def __init__(self, pool: VllmPool, *, width: int) -> None:
        self.runs_on = pool.runs_on
        self._pool = pool
        self._width = width

    async def last_states(self, sequences: Sequence[Sequence[int]]) -> Vectors:
        """Return the vectors. Zeros are the server's fault and may pass; `PooledEmbedder` would blame the folder."""
        states = await self._pool.embed(sequences, width=self._width, deadline=Deadline.never())
        if not states.any(axis=1).all():
            raise EmbedderUnavailable(f"{self.runs_on} returned a vector of zeros")
        return states
