"""Dimensions of a Qwen3 model from its config.json, in both spellings that transformers has used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from winnow.retrieval.errors import ModelUnusable


@dataclass(frozen=True, slots=True, kw_only=True)
class QwenConfig:
    """The dimensions of a dense Qwen3 decoder."""

    vocabulary: int  # rows of the embedding table
    hidden: int
    intermediate: int
    layers: int
    query_heads: int
    kv_heads: int
    head_dim: int  # not always hidden / query_heads: 0.6B has 16 heads of 128 on a hidden size of 1024
    norm_epsilon: float
    rope_theta: float
    positions_max: int  # tokens; the window the model was made for
    is_tied: bool  # the head's rows are those of the embedding

    def window(self, tokens_max: int) -> int:
        """Longest input in tokens: limited by its settings and by its positions."""
        return min(tokens_max, self.positions_max)

    @classmethod
    def read(cls, folder: Path) -> QwenConfig:
        """Read a model folder. Raises `ModelUnusable`, also for a model that this code cannot compute."""
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            _refuse_unknown(config, folder)
            return cls(
                vocabulary=int(config["vocab_size"]),
                hidden=int(config["hidden_size"]),
                intermediate=int(config["intermediate_size"]),
                layers=int(config["num_hidden_layers"]),
                query_heads=int(config["num_attention_heads"]),
                kv_heads=int(config["num_key_value_heads"]),
                head_dim=int(config["head_dim"]),
                norm_epsilon=float(config["rms_norm_eps"]),
                rope_theta=float(_rope(config)["rope_theta"]),
                positions_max=int(config["max_position_embeddings"]),
                is_tied=bool(config.get("tie_word_embeddings", False)),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelUnusable(f"{folder / 'config.json'}: {error!r}") from error


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    """Since transformers 5 the rotation has its own object; before, `rope_theta` was at the top level."""
    rope: dict[str, Any] = {"rope_theta": config.get("rope_theta")}
    return rope | (config.get("rope_parameters") or config.get("rope_scaling") or {})


def _refuse_unknown(config: dict[str, Any], folder: Path) -> None:
    """Refuse options that would silently change the result."""
    expected = {
        "model_type": (config.get("model_type"), "qwen3"),
        "hidden_act": (config.get("hidden_act"), "silu"),
        "attention_bias": (bool(config.get("attention_bias")), False),
        "use_sliding_window": (bool(config.get("use_sliding_window")), False),
        "rope type": (_rope(config).get("rope_type", _rope(config).get("type", "default")), "default"),
    }
    for name, (found, wanted) in expected.items():
        if found != wanted:
            raise ModelUnusable(f"{folder}: {name} is {found!r}; only {wanted!r} is supported")
