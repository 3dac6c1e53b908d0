"""The sizes that Qwen3 comes in: their shapes are understood, and their names are settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from winnow.api.settings import load
from winnow.retrieval.errors import ModelUnusable
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.folder import find_model

PROJECT = Path(__file__).resolve().parents[4]
COMMON = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_act": "silu", "head_dim": 128,
    "num_key_value_heads": 8, "attention_bias": False, "rms_norm_eps": 1e-6, "max_position_embeddings": 40_960,
    "vocab_size": 151_669, "torch_dtype": "bfloat16", "use_sliding_window": False,
}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "0.6B": {
        "hidden_size": 1_024, "intermediate_size": 3_072, "num_hidden_layers": 28, "num_attention_heads": 16,
        "tie_word_embeddings": True,
    },
    "4B": {
        "hidden_size": 2_560, "intermediate_size": 9_728, "num_hidden_layers": 36, "num_attention_heads": 32,
        "tie_word_embeddings": True,
    },
    "8B": {
        "hidden_size": 4_096, "intermediate_size": 12_288, "num_hidden_layers": 36, "num_attention_heads": 32,
        "tie_word_embeddings": False,
    },
}  # fmt: skip
MILLIONS = {
    "0.6B": 596,
    "4B": 4_022,
    "8B": 8_189,
}  # of parameters: the published 0.6, 4.0 and 8.2 billion, to the million
ROTATIONS = (
    {"rope_theta": 1_000_000},  # as the models are published
    {"rope_parameters": {"rope_theta": 1_000_000, "rope_type": "default"}},  # as transformers 5 saves them again
)
NAMES = [f"Qwen/Qwen3-{kind}-{size}" for kind in ("Reranker", "Embedding") for size in SHAPES]


def write_shape(folder: Path, size: str, rotation: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(COMMON | SHAPES[size] | rotation), encoding="utf-8")
    return folder


def parameters_of(config: QwenConfig) -> int:
    """What a decoder of this shape has to learn, tensor by tensor."""
    query, key = config.query_heads * config.head_dim, config.kv_heads * config.head_dim
    attention = config.hidden * (query + 2 * key) + query * config.hidden + 2 * config.head_dim
    layer = attention + 3 * config.hidden * config.intermediate + 2 * config.hidden
    tables = config.vocabulary * config.hidden * (1 if config.is_tied else 2)
    return config.layers * layer + tables + config.hidden


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("size", SHAPES)
def test_the_real_shapes_are_read(tmp_path: Path, size: str, rotation: dict[str, Any]) -> None:
    """Every number, also where heads times their width is not the hidden size: together they make the size named."""
    config = QwenConfig.read(write_shape(tmp_path / size, size, rotation))
    assert round(parameters_of(config) / 1e6) == MILLIONS[size]
    assert (config.rope_theta, config.positions_max, config.is_tied) == (1e6, 40_960, size != "8B")


@pytest.mark.parametrize("size", SHAPES)
def test_a_folder_without_weights_says_what_is_missing(tmp_path: Path, size: str) -> None:
    """A download that was broken off looks like this."""
    folder = write_shape(tmp_path / size, size, ROTATIONS[0])
    with pytest.raises(ModelUnusable, match=r"contains no \*\.safetensors file"):
        find_model(str(folder), kind="reranker")


@pytest.mark.parametrize("name", NAMES)
def test_their_names_are_settings(name: str) -> None:
    """For either part, and as a further reranker here or on a server."""
    variable = "WINNOW_RERANK_MODEL" if "Reranker" in name else "WINNOW_EMBED_MODEL"
    settings = load({}, environment={variable: name, "WINNOW_RERANK_ALSO": f"{name} b=http://h:1"})
    assert name in (settings.rerank_model, settings.embed_model)
    assert settings.rerank_also[0].model == name


def test_what_lies_in_the_hubs_cache_is_called_as_it_says(tmp_path: Path) -> None:
    """Without asking the hub: a model of ours that somebody put there keeps its own name."""
    cached = tmp_path / "hub" / "models--somebody--legal"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("abc", encoding="utf-8")
    (cached / "snapshots" / "abc").mkdir(parents=True)
    described = {"kind": "reranker", "name": "legal-rerank"}
    (cached / "snapshots" / "abc" / "winnow.json").write_text(json.dumps(described), encoding="utf-8")
    program = (
        "from winnow.retrieval.model.folder import model_name; print(model_name('somebody/legal', kind='reranker'))"
    )
    assert offline(tmp_path, program).strip() == "legal-rerank"


def offline(home: Path, program: str, *arguments: str) -> str:
    """What a process prints that may not ask the hub: its library reads its variables when it is imported."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}  # noqa: TID251
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
        env=inherited | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home)},
    )
    return ran.stdout


def test_a_name_that_the_hub_cannot_be_asked_for_is_told_in_a_sentence(tmp_path: Path) -> None:
    """Which model, why it is not there, what to do; in one line, without waiting for a network."""
    program = (
        "import json, sys\n"
        "from winnow.retrieval.errors import ModelNotFound\n"
        "from winnow.retrieval.model.folder import find_model, model_name\n"
        "said = {}\n"
        "for name in sys.argv[1:]:\n"
        "    kind = 'reranker' if 'Reranker' in name else 'embedder'\n"
        "    assert model_name(name, kind=kind) == name\n"
        "    try:\n"
        "        find_model(name, kind=kind)\n"
        "    except ModelNotFound as error:\n"
        "        said[name] = error.message\n"
        "print(json.dumps(said))\n"
    )
    said = json.loads(offline(tmp_path, program, *NAMES))
    assert list(said) == NAMES
    for name, message in said.items():
        assert message.startswith("The model is neither bundled, nor a folder, nor in the local cache of a hub: ")
        assert f"{name} is not in the local cache" in message
        assert f"`hf download {name} --local-dir {name.partition('/')[2]}`" in message
        assert f"`modelscope download --model {name} --local_dir {name.partition('/')[2]}`" in message
        assert f"name the folder instead of {name}" in message
        assert "\n" not in message
