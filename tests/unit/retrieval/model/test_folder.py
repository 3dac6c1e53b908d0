"""A model is found by name, folder or hub name; its revision changes with its weights; what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny_models import TinyShape, write_embedder, write_reranker
from winnow.retrieval.errors import ModelNotFound, ModelUnusable
from winnow.retrieval.model.folder import MAX_TOKENS_DEFAULT, Mixture, Order, find_model, model_name, revision_of

ORDER = {
    "plain": {"recall_weight": 1, "relevance_weight": 0},
    "instructed": {"recall_weight": 2, "relevance_weight": 0.5, "bias": -4},
}


def test_a_folder_says_what_it_is(tmp_path: Path) -> None:
    """winnow.json gives name, dimension, window and order."""
    embedder = find_model(str(write_embedder(tmp_path / "e", dimension=32)), kind="embedder")
    assert (embedder.name, embedder.settings.dimension, embedder.settings.max_tokens) == ("tiny-embed", 32, 512)
    reranker = find_model(str(write_reranker(tmp_path / "r", order=ORDER)), kind="reranker")
    assert reranker.settings.order == Order(
        plain=Mixture(recall_weight=1.0, relevance_weight=0.0, bias=0.0),
        instructed=Mixture(recall_weight=2.0, relevance_weight=0.5, bias=-4.0),
    )


def test_a_qwen_folder_without_winnow_json_gets_defaults(tmp_path: Path) -> None:
    """As downloaded: the folder's name, the model card's window, no order."""
    folder = write_reranker(tmp_path / "Qwen3-Reranker-0.6B")
    (folder / "winnow.json").unlink()
    settings = find_model(str(folder), kind="reranker").settings
    assert (settings.name, settings.dimension, settings.max_tokens, settings.order) == (
        "Qwen3-Reranker-0.6B",
        None,
        MAX_TOKENS_DEFAULT,
        None,
    )


def test_the_revision_is_of_the_content(tmp_path: Path) -> None:
    """Same weights in another place, same revision; another training or another tokenizer, another revision."""
    one, same, other = write_reranker(tmp_path / "one"), write_reranker(tmp_path / "same"), tmp_path / "other"
    write_reranker(other, TinyShape(seed=5))
    assert revision_of(one) == revision_of(same) != revision_of(other)
    assert revision_of(one).startswith("sha256:")
    (same / "tokenizer.json").write_text("{}", "utf-8")
    assert revision_of(one) != revision_of(same)


def test_the_name_is_told_without_weights_and_without_the_hub(tmp_path: Path) -> None:
    """It is the one that the model has once it is loaded; what lies on the hub only is called as it is there."""
    described, bare = write_reranker(tmp_path / "r"), write_reranker(tmp_path / "bare")
    (bare / "winnow.json").unlink()
    for folder in (described, bare):
        assert model_name(str(folder), kind="reranker") == find_model(str(folder), kind="reranker").name
        (folder / "model.safetensors").unlink()
    assert [model_name(str(folder), kind="reranker") for folder in (described, bare)] == ["tiny-rerank", "bare"]
    assert model_name("nobody/no-such-model", kind="reranker") == "nobody/no-such-model"
    with pytest.raises(ModelNotFound, match="a/b/c"):
        model_name("a/b/c", kind="reranker")
    with pytest.raises(ModelUnusable, match="reranker"):
        model_name(str(described), kind="embedder")


def test_a_large_file_is_sampled_and_says_so(tmp_path: Path) -> None:
    """A change in the middle of 300 MB is seen without reading them; a sparse file makes the test cheap."""
    revisions = []
    for filling in (b"\1", b"\2"):
        folder = tmp_path / filling.hex()
        folder.mkdir()
        with (folder / "model.safetensors").open("wb") as file:
            file.truncate(300 * 1024 * 1024)
            file.seek(100 * 1024 * 1024)
            file.write(filling * (16 * 1024 * 1024))  # a training changes more than one block in a twentieth
        revisions.append(revision_of(folder))
    assert revisions[0] != revisions[1]
    assert all(revision.startswith("sampled-sha256:") for revision in revisions)


@pytest.mark.parametrize("name", ["no-such-model", "./nowhere/at/all", "/nowhere", "a/b/c"])
def test_an_unknown_name_is_not_found(name: str) -> None:
    """Without asking the hub for what cannot be its name; the message says what could be meant."""
    with pytest.raises(ModelNotFound, match="winnow-embed"):
        find_model(name, kind="embedder")


def test_an_embedder_is_not_a_reranker(tmp_path: Path) -> None:
    """Swapped settings are found at start."""
    folder = write_embedder(tmp_path / "e")
    with pytest.raises(ModelUnusable, match="embedder"):
        find_model(str(folder), kind="reranker")


def described(**weights: float) -> str:
    return json.dumps({"kind": "reranker", "name": "x", "order": {"plain": ORDER["plain"], "instructed": weights}})


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("winnow.json", "{"),
        ("winnow.json", "[]"),
        ("winnow.json", json.dumps({"kind": "reranker"})),
        ("winnow.json", json.dumps({"kind": "reranker", "name": "x", "max_tokens": "many"})),
        ("winnow.json", json.dumps({"kind": "reranker", "name": "x", "blend": {"embedder": "e"}})),
        ("winnow.json", json.dumps({"kind": "reranker", "name": "x", "order": {"plain": ORDER["plain"]}})),
        ("winnow.json", described(recall_weight=0, relevance_weight=0)),
        ("winnow.json", described(recall_weight=1, relevance_weight=-0.5)),
        ("winnow.json", described(recall_weight=1, relevance_weight=float("nan"))),
        ("config.json", "no json"),
    ],
)
def test_a_broken_description_is_named(tmp_path: Path, file: str, content: str) -> None:
    """The message names the file."""
    folder = write_reranker(tmp_path / "r")
    (folder / file).write_text(content, "utf-8")
    with pytest.raises(ModelUnusable, match=file):
        find_model(str(folder), kind="reranker")


def test_a_folder_without_weights_is_no_model(tmp_path: Path) -> None:
    """Only configuration: say what is missing."""
    folder = write_reranker(tmp_path / "r")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelUnusable, match="safetensors"):
        find_model(str(folder), kind="reranker")
