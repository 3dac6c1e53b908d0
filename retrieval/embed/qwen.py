"""Qwen3-Embedding in this process, the bundled small model or a large one."""

from __future__ import annotations

from typing import Self

from winnow.retrieval.embed.pooled import PooledEmbedder
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.memory import ModelMemory
from winnow.retrieval.model.runtime import QwenRuntime


class QwenEmbedder(PooledEmbedder):
    """An `Embedder` over a `QwenRuntime`."""

    @classmethod
    def load(
        cls, folder: ModelFolder, *, device: str | None = None, dtype: str | None = None, dimension: int | None = None
    ) -> Self:
        """Load the model; `dimension` truncates the vectors (Matryoshka).

        Raises `ModelUnusable`, `SettingInvalid`.
        """
        return cls.over(QwenRuntime.load(folder, device=device, dtype=dtype), folder, dimension=dimension)

    def memory(self) -> ModelMemory:
        states = self._states
        assert isinstance(states, QwenRuntime), "it was loaded. This is a bug."
        return states.memory
