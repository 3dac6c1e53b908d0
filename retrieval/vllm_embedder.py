"""Qwen3-Embedding, on a vLLM server.

The folder of the same model lies here too: its tokenizer makes the ids, and its weights' hash is the identity, so that
an index that was built in process can be searched through the server, and the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self

from retrieval.deadline import Deadline
from retrieval.errors import EmbedderUnavailable, Overloaded
from retrieval.model_folder import ModelFolder
from retrieval.pooled_embedder import PooledEmbedder
from retrieval.qwen_config import QwenConfig
from retrieval.records import Vectors
from retrieval.vllm_client import Failures, VllmClient

EMBEDDER_FAILURES: Final = Failures(timeout=EmbedderUnavailable, overloaded=Overloaded, unavailable=EmbedderUnavailable)


class VllmEmbedder(PooledEmbedder):
    """An `Embedder` on a `VllmClient` with `EMBEDDER_FAILURES`."""

    @classmethod
    def load(cls, folder: ModelFolder, client: VllmClient, *, dimension: int | None = None) -> Self:
        """Asks the server nothing yet. Raises `ModelUnusable`, `SettingInvalid`."""
        states = _ServedStates(client, width=QwenConfig.read(folder.path).hidden)
        return cls.over(states, folder, dimension=dimension)


class _ServedStates:
    """The server's pooled vectors. It brings them to length one, which cutting and doing so again survives."""

    def __init__(self, client: VllmClient, *, width: int) -> None:
        self.runs_on = f"vLLM at {client.url}"
        self._client = client
        self._width = width

    async def last_states(self, sequences: Sequence[Sequence[int]]) -> Vectors:
        return await self._client.embed(sequences, width=self._width, deadline=Deadline.never())
