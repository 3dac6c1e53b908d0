"""Model folders in the sizes of Qwen3 without weights: speed and memory are those of the real model, scores are noise.

vLLM fills such a folder with random numbers (`--load-format dummy`). winnow needs weights to distinguish revisions, and
gets a file of four bytes. The tokenizer must be Qwen's own, since token counts are compared.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import save_file

from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.prompt import PREFIX, SUFFIX
from winnow.retrieval.model.tokenizer import ScaffoldTokenizer, _read_definition

KV_HEADS: Final = 8
HEAD_DIM: Final = 128
VOCABULARY: Final = 151_669
WINDOW: Final = 8_192  # tokens of the longest prompt, on both sides
END: Final = "<|endoftext|>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The dimensions that determine the amount of computation."""

    hidden: int
    intermediate: int
    layers: int
    heads: int

    @property
    def layer_weights(self) -> int:
        """Weights applied to every token; the embedding is a lookup, and the head reads one position."""
        attention = 2 * self.hidden * HEAD_DIM * (self.heads + KV_HEADS)
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def config(self) -> dict[str, Any]:
        return {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": KV_HEADS,
            "head_dim": HEAD_DIM,
            "attention_bias": False,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1_000_000,
            "max_position_embeddings": 40_960,
            "vocab_size": VOCABULARY,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
        }


SHAPES: Final = {
    "tiny": Shape(hidden=256, intermediate=512, layers=2, heads=8),  # for trying a benchmark without a GPU
    "0.6b": Shape(hidden=1_024, intermediate=3_072, layers=28, heads=16),
    "4b": Shape(hidden=2_560, intermediate=9_728, layers=36, heads=32),
}


def write_folder(folder: Path, shape: Shape, tokenizer: Path) -> None:
    """Create a model without weights, with the tokenizer of another folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, shape)
    definition = _read_definition(tokenizer) | {"truncation": None, "padding": None}
    (folder / "tokenizer.json").write_text(json.dumps(definition | {"post_processor": None}), encoding="utf-8")
    shutil.copyfile(tokenizer / "tokenizer_config.json", folder / "tokenizer_config.json")
    save_file({"none": np.zeros(1, dtype=np.float32)}, folder / "model.safetensors")


def write_config(folder: Path, shape: Shape) -> None:
    (folder / "config.json").write_text(json.dumps(shape.config, indent=1), encoding="utf-8")


def as_embedder(folder: Path) -> None:
    """Turn the folder's tokenizer into that of Qwen3-Embedding, for libraries that use it as it is.

    It appends the end mark and has no chat template: sentence-transformers would apply it to every text.
    """
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    config.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    end = ScaffoldTokenizer.load(folder).token_id(END)
    definition = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    definition["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": END, "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {END: {"id": END, "ids": [end], "tokens": [END]}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(definition), encoding="utf-8")


def chat_template() -> str:
    """The template with which vLLM's own /v1/rerank sends the prompt of the model card.

    Everything is in expressions: the renderer strips newlines from literal text, so vLLM's own template for this model
    ends in another token than the model was trained to answer after.
    """
    before = json.dumps(PREFIX + "<Instruct>: ")
    instruction = f"instruction | default({json.dumps(DEFAULT_INSTRUCTION)})"
    query, document = (f'(messages | selectattr("role", "equalto", "{role}") | first).content' for role in _ROLES)
    parts = (before, instruction, json.dumps("\n<Query>: "), query, json.dumps("\n<Document>: "), document)
    return "".join(f"{{{{ {part} }}}}" for part in (*parts, json.dumps(SUFFIX)))


_ROLES: Final = ("query", "document")
