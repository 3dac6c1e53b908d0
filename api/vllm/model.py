"""The model that a vLLM server runs: its shape, its window, its bytes.

A command line is often printed on another machine than the one that runs it, without the model. So the shapes of the
six published Qwen3 models are built in; every other model must be found first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Final, Literal

from winnow.retrieval.errors import ModelUnusable, SettingInvalid
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.folder import MAX_TOKENS_DEFAULT, ModelFolder, ModelKind, find_model
from winnow.retrieval.model.hub import ModelSource

Role = Literal["rerank", "embed"]

ROLES: Final[tuple[Role, ...]] = ("rerank", "embed")
KINDS: Final[dict[Role, ModelKind]] = {"rerank": "reranker", "embed": "embedder"}

_SMALL: Final = QwenConfig(
    vocabulary=151_669, hidden=1_024, intermediate=3_072, layers=28, query_heads=16, kv_heads=8, head_dim=128,
    norm_epsilon=1e-6, rope_theta=1e6, positions_max=40_960, is_tied=True,
)  # fmt: skip
_MIDDLE: Final = replace(_SMALL, hidden=2_560, intermediate=9_728, layers=36, query_heads=32)
_LARGE: Final = replace(_MIDDLE, hidden=4_096, intermediate=12_288, is_tied=False)
PUBLISHED: Final = {
    "Qwen/Qwen3-Reranker-0.6B": _SMALL,
    "Qwen/Qwen3-Reranker-4B": _MIDDLE,
    "Qwen/Qwen3-Reranker-8B": _LARGE,
    "Qwen/Qwen3-Embedding-0.6B": replace(_SMALL, positions_max=32_768),
    "Qwen/Qwen3-Embedding-4B": replace(_MIDDLE, vocabulary=151_665),
    "Qwen/Qwen3-Embedding-8B": replace(_LARGE, vocabulary=151_665),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One model in one role."""

    role: Role
    model: str  # what vLLM gets: a local path, or a name on the hub
    shape: QwenConfig
    window: int  # tokens of the longest input
    stored_bytes: int | None = None  # of weights that are stored quantised, which vLLM runs as they are

    @property
    def parameters(self) -> int:
        """Number of loaded parameters. An embedder has no head; a reranker's is loaded and then dropped."""
        head = 0 if self.shape.is_tied or self.role == "embed" else self._table
        return self._table + self._decoder + head

    @property
    def quantizable(self) -> int:
        """Parameters in the layers' matrices: embedding, head and norms keep their format."""
        shape = self.shape
        query, kv = shape.query_heads * shape.head_dim, shape.kv_heads * shape.head_dim
        return shape.layers * (shape.hidden * (2 * query + 2 * kv) + 3 * shape.hidden * shape.intermediate)

    @property
    def _table(self) -> int:
        return self.shape.vocabulary * self.shape.hidden

    @property
    def _decoder(self) -> int:
        norms = self.shape.layers * (2 * self.shape.hidden + 2 * self.shape.head_dim) + self.shape.hidden
        return self.quantizable + norms


def served_from_folder(role: Role, name: str, *, source: ModelSource = ModelSource.HUGGING_FACE) -> Served:
    """Find the model as everywhere in winnow; vLLM gets its local path.

    Raises `ModelNotFound`, `ModelUnusable`, `SettingInvalid`.
    """
    folder = find_model(name, kind=KINDS[role], source=source)
    shape = QwenConfig.read(folder.path)
    window = shape.window(folder.settings.max_tokens)
    return Served(role=role, model=str(folder.path), shape=shape, window=window, stored_bytes=_stored_quantized(folder))


def served_by_name(role: Role, name: str) -> Served:
    """Like `served_from_folder`, but a published model need not be present, and vLLM gets its name.

    Also raises `SettingInvalid` for a published model of the other role.
    """
    shape = PUBLISHED.get(name)
    if shape is None:
        return served_from_folder(role, name)
    if ("Reranker" in name) != (role == "rerank"):
        raise SettingInvalid(f"{name} is not a model of kind {KINDS[role]}")
    return Served(role=role, model=name, shape=shape, window=shape.window(MAX_TOKENS_DEFAULT))


def _stored_quantized(folder: ModelFolder) -> int | None:
    """Bytes of the weights if config.json says that they are quantised; else None."""
    try:
        said = json.loads((folder.path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnusable(f"{folder.path / 'config.json'}: {error!r}") from error
    if not said.get("quantization_config"):
        return None
    return sum(file.stat().st_size for file in folder.path.glob("*.safetensors"))
