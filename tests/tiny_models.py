"""Qwen3 folders small enough to be made on the spot: real architecture, random weights, a tokenizer of their own.

They rank by noise, which is what a test of arithmetic needs: a wrong rotation, mask or norm moves every score.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

QWEN_SPLIT: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
FLAGGED_SPECIAL: Final = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
ADDED_ONLY: Final = (
    "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
    "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>",
)  # fmt: skip
QWEN_ADDED: Final = FLAGGED_SPECIAL + ADDED_ONLY  # the 26, in Qwen's order
SENTENCES: Final = (
    "yes\nno\nyes\nno\nyes\nno\nJudge whether the Document meets the requirements based on the Query.",
    "Instruct Query Document: given a web search query, retrieve relevant passages that answer the query.",
    "A tenant may ask for a refund within seven days of the contract. The court decides what is fair.",
    "The index is built from vectors; search returns the nearest chunks, and a reranker orders them.",
    "消费者自收到商品之日起七日内有权退货，且无需说明理由。法院可以根据当事人的请求予以减少。",
    "检索系统先召回候选段落，再由重排模型按照指令排序。向量索引可以随时从存储中重建。",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyShape:
    """Odd on purpose: heads times head_dim is not the hidden size, and two query heads share a key head."""

    hidden: int = 48
    layers: int = 3
    query_heads: int = 4
    kv_heads: int = 2
    head_dim: int = 16
    intermediate: int = 80
    tied: bool = True
    seed: int = 20260


def write_embedder(folder: Path, shape: TinyShape | None = None, *, dimension: int | None = None) -> Path:
    """A folder like Qwen3-Embedding's: no head, no `model.` before the names, `<|endoftext|>` at the end."""
    shape = shape or TinyShape()
    tokenizer = _tokenizer()
    end = tokenizer.token_to_id("<|endoftext|>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", end)]
    )
    weights = {name.removeprefix("model."): array for name, array in _weights(shape, tokenizer).items()}
    weights.pop("lm_head.weight", None)
    _write(folder, shape, tokenizer, weights, architecture="Qwen3Model")
    _write_json(
        folder / "winnow.json",
        {
            "kind": "embedder",
            "name": "tiny-embed",
            "dimension": dimension or shape.hidden,
            "max_tokens": 512,
        },
    )
    modules = ("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")
    _write_json(
        folder / "modules.json",
        [
            {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for place, (kind, path) in enumerate(modules)
        ],
    )
    (folder / "1_Pooling").mkdir()
    _write_json(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": shape.hidden, "pooling_mode_mean_tokens": False, "pooling_mode_lasttoken": True},
    )
    return folder


def write_reranker(folder: Path, shape: TinyShape | None = None, *, order: dict[str, Any] | None = None) -> Path:
    """A folder like Qwen3-Reranker's: a causal language model, tied or not."""
    shape = shape or TinyShape(seed=20261)
    tokenizer = _tokenizer()
    _write(folder, shape, tokenizer, _weights(shape, tokenizer), architecture="Qwen3ForCausalLM")
    settings: dict[str, Any] = {"kind": "reranker", "name": "tiny-rerank", "dimension": None, "max_tokens": 5_000}
    _write_json(folder / "winnow.json", settings | ({"order": order} if order else {}))
    return folder


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES * 2, trainer)
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in FLAGGED_SPECIAL])
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in ADDED_ONLY])
    return tokenizer


def _weights(shape: TinyShape, tokenizer: Tokenizer) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(shape.seed)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return generator.normal(0.0, 1.3 / np.sqrt(columns), (rows, columns)).astype(np.float32)

    def norm(size: int) -> np.ndarray:
        return (1.0 + 0.2 * generator.standard_normal(size)).astype(np.float32)

    vocabulary = tokenizer.get_vocab_size(with_added_tokens=True)
    query, kv = shape.query_heads * shape.head_dim, shape.kv_heads * shape.head_dim
    weights = {"model.embed_tokens.weight": matrix(vocabulary, shape.hidden), "model.norm.weight": norm(shape.hidden)}
    for layer in range(shape.layers):
        weights |= {
            f"model.layers.{layer}.{name}.weight": array
            for name, array in (
                ("input_layernorm", norm(shape.hidden)),
                ("self_attn.q_proj", matrix(query, shape.hidden)),
                ("self_attn.k_proj", matrix(kv, shape.hidden)),
                ("self_attn.v_proj", matrix(kv, shape.hidden)),
                ("self_attn.q_norm", norm(shape.head_dim)),
                ("self_attn.k_norm", norm(shape.head_dim)),
                ("self_attn.o_proj", matrix(shape.hidden, query)),
                ("post_attention_layernorm", norm(shape.hidden)),
                ("mlp.gate_proj", matrix(shape.intermediate, shape.hidden)),
                ("mlp.up_proj", matrix(shape.intermediate, shape.hidden)),
                ("mlp.down_proj", matrix(shape.hidden, shape.intermediate)),
            )
        }
    if not shape.tied:
        weights["lm_head.weight"] = matrix(vocabulary, shape.hidden)
    return weights


def _write(
    folder: Path, shape: TinyShape, tokenizer: Tokenizer, weights: dict[str, np.ndarray], *, architecture: str
) -> None:
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    )
    _write_json(
        folder / "config.json",
        {
            "architectures": [architecture],
            "model_type": "qwen3",
            "hidden_act": "silu",
            "hidden_size": shape.hidden,
            "intermediate_size": shape.intermediate,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.query_heads,
            "num_key_value_heads": shape.kv_heads,
            "head_dim": shape.head_dim,
            "attention_bias": False,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1_000_000,
            "max_position_embeddings": 8192,
            "tie_word_embeddings": shape.tied,
            "vocab_size": tokenizer.get_vocab_size(with_added_tokens=True),
            "torch_dtype": "float32",
        },
    )
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2), encoding="utf-8")
