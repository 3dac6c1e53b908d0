"""Writes weights as transformers, sentence-transformers and vLLM expect them, in bf16.

    python -m training.export --kind embedder|reranker --weights FILE --tokenizer DIR --out DIR [--order FILE]

The folder is replaced in one rename; a README.md in it (the model card) is kept.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from training import bag_as_qwen, judge
from training.bag import EPSILON
from training.gpu import network
from winnow.retrieval.embed.embedder import DEFAULT_TASK, query_prompt

POSITIONS = 32_768


def config(state: dict[str, torch.Tensor], end: int, rope_theta: float) -> dict[str, object]:
    """Qwen3's configuration, with sizes taken from the weights."""
    hidden = state["norm.weight"].shape[0]
    head = state["layers.0.self_attn.q_norm.weight"].shape[0]
    layers = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("layers."))
    # The published embedders name the causal architecture, too; Qwen3Model loads either.
    return {
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": end, "eos_token_id": end, "head_dim": head, "hidden_act": "silu",
        "hidden_size": hidden, "initializer_range": 0.02,
        "intermediate_size": state["layers.0.mlp.gate_proj.weight"].shape[0],
        "max_position_embeddings": POSITIONS, "max_window_layers": layers, "model_type": "qwen3",
        "num_attention_heads": state["layers.0.self_attn.q_proj.weight"].shape[0] // head,
        "num_hidden_layers": layers,
        "num_key_value_heads": state["layers.0.self_attn.k_proj.weight"].shape[0] // head,
        "rms_norm_eps": EPSILON, "rope_scaling": None, "rope_theta": rope_theta,
        "sliding_window": None, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "use_cache": True, "use_sliding_window": False,
        "vocab_size": state["embed_tokens.weight"].shape[0],
    }  # fmt: skip


def sentence_transformers_files(folder: Path, hidden: int) -> None:
    """Write last-token pooling, normalisation and the query prompt, as Qwen3-Embedding ships them."""
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]  # fmt: skip
    pooling = {
        "word_embedding_dimension": hidden, "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False, "pooling_mode_weightedmean_tokens": False,
        "pooling_mode_lasttoken": True, "include_prompt": True,
    }  # fmt: skip
    prompts = {
        "prompts": {"query": query_prompt("", DEFAULT_TASK), "document": ""},
        "default_prompt_name": None, "similarity_fn_name": "cosine",
    }  # fmt: skip
    (folder / "1_Pooling").mkdir()
    write_json(folder / "modules.json", modules)
    write_json(folder / "1_Pooling" / "config.json", pooling)
    write_json(folder / "config_sentence_transformers.json", prompts)


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def winnow_json(kind: str, hidden: int, order: dict[str, dict[str, float]] | None) -> dict[str, object]:
    if kind == "embedder":
        return {"kind": kind, "name": "winnow-embed", "dimension": hidden, "max_tokens": 8192}
    known: dict[str, object] = {"kind": kind, "name": "winnow-rerank", "max_tokens": 8192}
    if order is not None:
        known["order"] = order
    return known


def export(weights: Path, kind: str, tokenizer: Path, out: Path, order: dict[str, dict[str, float]] | None) -> None:
    definition = json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))
    end = next(token["id"] for token in definition["added_tokens"] if token["content"] == "<|endoftext|>")
    read = torch.load(weights, map_location="cpu")
    state, theta, prefix = read, judge.ROPE_THETA, "model."
    if "shape" in read:
        state, theta = network.as_qwen(read["weights"]), network.THETA
    if kind == "embedder":
        state, theta, prefix = bag_as_qwen.as_qwen(read, end), bag_as_qwen.ROPE_THETA, ""
    tensors = {f"{prefix}{name}": tensor.to(torch.bfloat16).contiguous() for name, tensor in state.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    save_file(tensors, beside / "model.safetensors", metadata={"format": "pt"})
    write_json(beside / "config.json", config(state, end, theta))
    write_json(beside / "winnow.json", winnow_json(kind, state["norm.weight"].shape[0], order))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer / name, beside / name)
    if kind == "embedder":
        sentence_transformers_files(beside, state["norm.weight"].shape[0])
    card = out / "README.md"
    if card.exists():
        shutil.copy(card, beside / "README.md")
    for path in beside.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    beside.chmod(0o755)
    old = out.with_name(f".{out.name}-old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.replace(old)
    beside.replace(out)
    shutil.rmtree(old, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=["embedder", "reranker"], required=True)
    for name in ("weights", "tokenizer", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--order", type=Path, help="file from training.order; for a reranker")
    options = parser.parse_args()
    order = json.loads(options.order.read_text(encoding="utf-8")) if options.order else None
    export(options.weights, options.kind, options.tokenizer, options.out, order)


if __name__ == "__main__":
    main()
