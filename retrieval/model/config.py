"""What shape a Qwen3 model has, as its config.json says, in both spellings that transformers has used."""

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
    positions_max: int  # tokens; the window it was made for
    is_tied: bool  # the head's rows are the embedding's

    def window(self, tokens_max: int) -> int:
        """Tokens of the longest input that is ever sent: as its settings allow, and it has positions for."""
        return min(tokens_max, self.positions_max)

    @classmethod
    def read(cls, folder: Path) -> QwenConfig:
        """From a model folder. Raises `ModelUnusable`, also for a model that our arithmetic does not cover."""
        try:
            said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            _refuse_the_unknown(said, folder)
            return cls(
                vocabulary=int(said["vocab_size"]),
                hidden=int(said["hidden_size"]),
                intermediate=int(said["intermediate_size"]),
                layers=int(said["num_hidden_layers"]),
                query_heads=int(said["num_attention_heads"]),
                kv_heads=int(said["num_key_value_heads"]),
                head_dim=int(said["head_dim"]),
                norm_epsilon=float(said["rms_norm_eps"]),
                rope_theta=float(_rope(said)["rope_theta"]),
                positions_max=int(said["max_position_embeddings"]),
                is_tied=bool(said.get("tie_word_embeddings", False)),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelUnusable(f"{folder / 'config.json'}: {error!r}") from error


def _rope(said: dict[str, Any]) -> dict[str, Any]:
    """Since transformers 5 the rotation has its own object; before, `rope_theta` stood at the top."""
    rope: dict[str, Any] = {"rope_theta": said.get("rope_theta")}
    return rope | (said.get("rope_parameters") or said.get("rope_scaling") or {})


def _refuse_the_unknown(said: dict[str, Any], folder: Path) -> None:
    """Better no model than one whose vectors are quietly wrong."""
    expected = {
        "model_type": (said.get("model_type"), "qwen3"),
        "hidden_act": (said.get("hidden_act"), "silu"),
        "attention_bias": (bool(said.get("attention_bias")), False),
        "use_sliding_window": (bool(said.get("use_sliding_window")), False),
        "rope type": (_rope(said).get("rope_type", _rope(said).get("type", "default")), "default"),
    }
    for name, (found, wanted) in expected.items():
        if found != wanted:
            raise ModelUnusable(f"{folder}: {name} is {found!r}; only {wanted!r} is supported")
