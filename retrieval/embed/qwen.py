"""Qwen3-Embedding, the small one of ours or a large one, in this process."""

from __future__ import annotations

from typing import Self

from winnow.retrieval.embed.pooled import PooledEmbedder
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.runtime import QwenRuntime


class QwenEmbedder(PooledEmbedder):
    """An `Embedder` on a `QwenRuntime`."""

    @classmethod
    def load(
        cls, folder: ModelFolder, *, device: str | None = None, dtype: str | None = None, dimension: int | None = None
    ) -> Self:
        """Into memory; `dimension` cuts the vectors shorter than the model's own (Matryoshka).

        Raises `ModelUnusable`, `SettingInvalid`.
        """
        return cls.over(QwenRuntime.load(folder, device=device, dtype=dtype), folder, dimension=dimension)
