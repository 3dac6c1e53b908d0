"""A published model is recognised by its dimensions, and its figures are those of its card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny_models import write_embedder, write_reranker
from winnow.retrieval.model.folder import ModelFolder, ModelSettings
from winnow.retrieval.model.known_answers import KnownAnswers, ModelKind
from winnow.retrieval.model.published import NONE_STATED, ORDER_ONLY, RecognisedBy, _published, recognise

SHAPES: dict[str, tuple[ModelKind, int, int, int]] = {  # as in each config.json
    "Qwen3-Embedding-0.6B": ("embedder", 1024, 28, 151_669),
    "Qwen3-Embedding-4B": ("embedder", 2560, 36, 151_665),
    "Qwen3-Embedding-8B": ("embedder", 4096, 36, 151_665),
    "Qwen3-Reranker-0.6B": ("reranker", 1024, 28, 151_669),
    "Qwen3-Reranker-4B": ("reranker", 2560, 36, 151_669),
    "Qwen3-Reranker-8B": ("reranker", 4096, 36, 151_669),
}
CARDS = {  # as printed there; logits of rerankers are differences
    "Qwen3-Embedding-0.6B": [0.7646, 0.1414, 0.1355, 0.6000],
    "Qwen3-Embedding-4B": [0.7534, 0.1147, 0.0320, 0.6258],
    "Qwen3-Embedding-8B": [0.7493, 0.0751, 0.0880, 0.6318],
    "Qwen3-Reranker-0.6B": [0.99951, 0.00001],
    "Qwen3-Reranker-4B": [0.99840, 0.00000],
    "Qwen3-Reranker-8B": [0.99437, 0.00000],
}


def folder_of(path: Path, shape: tuple[int, int, int], name: str, known: KnownAnswers | None = None) -> ModelFolder:
    """A folder with a config.json of these dimensions and nothing else."""
    path.mkdir(parents=True)
    config = json.loads((write_reranker(path.parent / f"{path.name}-tiny") / "config.json").read_text("utf-8"))
    hidden, layers, vocabulary = shape
    sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "vocab_size": vocabulary}
    (path / "config.json").write_text(json.dumps(config | sizes), "utf-8")
    settings = ModelSettings(name=name, known_answers=known)
    return ModelFolder(path=path, revision="1", model_type="qwen3", settings=settings)


@pytest.mark.parametrize("name", SHAPES)
def test_each_published_model_has_figures_with_a_source(name: str) -> None:
    """Of the card's example, in the prompts of that card, with the bounds that are promised."""
    published = next(each for each in _published() if each.name == name)
    kind, *shape = SHAPES[name]
    assert (published.known.kind, published.shape) == (kind, tuple(shape))
    assert f"model card Qwen/{name}" in published.known.source
    assert [each.score for each in published.known.answers] == pytest.approx(CARDS[name], abs=5e-5)
    assert published.known.answers[0].query == "What is the capital of China?"
    assert published.known.answers[0].passage == "The capital of China is Beijing."
    assert (published.known.bound("float32"), published.known.bound("bfloat16")) == (1e-3, 2e-2)


@pytest.mark.parametrize("name", SHAPES)
def test_a_folder_called_anything_is_recognised(tmp_path: Path, name: str) -> None:
    """By its dimensions; with its name, or that of the hub's cache, it is certain."""
    kind, *sizes = SHAPES[name]
    shape = (sizes[0], sizes[1], sizes[2])
    found = recognise(folder_of(tmp_path / "weights", shape, "weights"), kind)
    assert (found.name, found.by, found.remark, found.is_certain) == (name, RecognisedBy.SHAPE, None, False)
    for place, called in (("a", f"Qwen/{name}"), ("b", name.lower())):
        found = recognise(folder_of(tmp_path / place, shape, called), kind)
        assert (found.name, found.by, found.is_certain) == (name, RecognisedBy.SHAPE_AND_NAME, True)
    cached = folder_of(tmp_path / f"models--Qwen--{name}" / "snapshots" / "12ab", shape, "12ab")
    assert recognise(cached, kind).is_certain


def test_a_fine_tuned_model_of_that_name_is_not_certain(tmp_path: Path) -> None:
    """Its name only begins so."""
    found = recognise(folder_of(tmp_path / "m", (1024, 28, 151_669), "me/Qwen3-Reranker-0.6B-legal"), "reranker")
    assert (found.name, found.by) == ("Qwen3-Reranker-0.6B", RecognisedBy.SHAPE)


def test_what_does_not_fit_together_is_remarked(tmp_path: Path) -> None:
    """A name against the dimensions, an embedder in a reranker's place, and a chat model's vocabulary."""
    small = folder_of(tmp_path / "a", (1024, 28, 151_669), "Qwen/Qwen3-Reranker-4B")
    found = recognise(small, "reranker")
    assert (found.name, found.by) == ("Qwen3-Reranker-0.6B", RecognisedBy.SHAPE)
    assert found.remark == "named like Qwen3-Reranker-4B, but has the dimensions of Qwen3-Reranker-0.6B"
    other = recognise(folder_of(tmp_path / "b", (2560, 36, 151_665), "x"), "reranker")
    assert (other.by, other.known.has_figures) == (RecognisedBy.NOTHING, False)
    assert (other.remark or "").startswith("has the dimensions of Qwen3-Embedding-4B, which is no reranker")
    chat = recognise(folder_of(tmp_path / "c", (1024, 28, 151_936), "Qwen/Qwen3-Reranker-0.6B"), "reranker")
    assert "hidden size, layers and vocabulary are 1024, 28, 151936, not 1024, 28, 151669" in (chat.remark or "")


def test_an_unknown_model_is_checked_for_its_order_only(tmp_path: Path) -> None:
    """With these words, whatever architecture it has."""
    for kind, folder in (("reranker", write_reranker(tmp_path / "r")), ("embedder", write_embedder(tmp_path / "e"))):
        settings = ModelSettings(name="tiny")
        found = recognise(ModelFolder(path=folder, revision="1", model_type="qwen3", settings=settings), kind)
        assert (found.by, found.remark, found.known.has_figures) == (RecognisedBy.NOTHING, ORDER_ONLY, False)
    bert = ModelFolder(path=tmp_path, revision="1", model_type="bert", settings=ModelSettings(name="bert"))
    assert recognise(bert, "embedder").by == RecognisedBy.NOTHING


def test_a_folders_own_answers_come_first(tmp_path: Path) -> None:
    """And an empty list of them turns the comparison with the card off."""
    own = next(each for each in _published() if each.name == "Qwen3-Reranker-8B").known
    shape = (1024, 28, 151_669)
    found = recognise(folder_of(tmp_path / "a", shape, "Qwen/Qwen3-Reranker-0.6B", own), "reranker")
    assert (found.known, found.by, found.is_certain) == (own, RecognisedBy.ITS_SETTINGS, True)
    none = KnownAnswers(kind="reranker", source="", within={"float32": 0.1}, answers=())
    found = recognise(folder_of(tmp_path / "b", shape, "Qwen/Qwen3-Reranker-0.6B", none), "reranker")
    assert (found.known.has_figures, found.remark) == (False, NONE_STATED)
