"""Folders of other people's models that something is wrong with are refused, each with what is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_foreign_models import describe, write_bert, write_bert_embedder, write_qwen2_causal
from winnow.api.model_loading import load_embedding, load_reranker
from winnow.api.settings import Settings
from winnow.retrieval.errors import ModelUnusable

PROMPT = {"text": "{query} {document}", "yes": "yes"}


def load(folder: Path, kind: str) -> None:
    """As the service does."""
    if kind == "embedder":
        load_embedding(Settings(data=folder.parent, embed_model=str(folder), device="cpu"))
    else:
        load_reranker(Settings(data=folder.parent, rerank_model=str(folder), device="cpu"))


def edit(**changes: Any) -> Callable[[Path], None]:
    """Change the model's config.json."""

    def apply(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")

    return apply


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-500])


def leave_a_pointer(folder: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1000\n"
    (folder / "model.safetensors").write_text(pointer, encoding="utf-8")


def lose_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("whole")
    return {
        "pair": write_bert(root / "pair"),
        "embedder": write_bert_embedder(root / "embedder"),
        "template": describe(write_qwen2_causal(root / "template"), name="template", prompt=PROMPT),
    }


@pytest.mark.parametrize("kind", ["pair", "embedder", "template"])
@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (cut_weights, "get the *.safetensors files again"),
        (leave_a_pointer, "a Git LFS pointer"),
        (edit(max_position_embeddings="many"), "max_position_embeddings"),
        (edit(hidden_size=64), "other dimensions than config.json says"),
        (edit(architectures={"a": 1}), "config.json: architectures must be a list"),
        (edit(num_labels="three"), "config.json: the number of labels cannot be read"),
        (lose_tokenizer, "tokenizer"),
    ],
)
def test_a_broken_folder_is_refused_with_the_reason(
    whole: dict[str, Path], tmp_path: Path, kind: str, harm: Callable[[Path], None], reason: str
) -> None:
    """A download that stopped early, a checkout without its large files, files of two models."""
    folder = tmp_path / "broken"
    shutil.copytree(whole[kind], folder)
    harm(folder)
    with pytest.raises(ModelUnusable) as refused:
        load(folder, kind)
    assert str(folder) in refused.value.message
    assert reason in refused.value.message


@pytest.mark.parametrize(
    ("described", "reason"),
    [
        ({"max_tokens": 0}, "max_tokens must be a whole number above 0"),
        ({"max_tokens": 5}, "a window of 5 tokens is too small"),
        ({"name": ""}, "name must be a text that is not empty"),
        ({"prompt": PROMPT | {"no": "yes"}}, "yes and no must be different"),
        ({"known_answers": {"answers": []}}, "'source' is missing"),
        ({"known_answers": {"source": "s", "answers": "none"}}, "answers a list"),
        ({"known_answers": {"source": "s", "answers": ["none"]}}, "each answer must be an object"),
        ({"known_answers": {"source": "s", "within": [1], "answers": []}}, "within must be an object"),
    ],
)
def test_a_description_that_cannot_be_meant_is_refused(
    whole: dict[str, Path], tmp_path: Path, described: dict[str, Any], reason: str
) -> None:
    folder = tmp_path / "described"
    shutil.copytree(whole["pair"], folder)
    describe(folder, **({"name": "described"} | described))
    with pytest.raises(ModelUnusable) as refused:
        load(folder, "pair")
    assert reason in refused.value.message
