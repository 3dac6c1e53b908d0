"""What a server says of itself is compared with the local folder before it has scored anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from winnow.retrieval.model.folder import ModelFolder, ModelSettings
from winnow.retrieval.vllm.client import ServerFacts
from winnow.retrieval.vllm.identity import missing_route, model_mismatch, short_window, tokenizer_mismatch


def model(name: str = "somebody's") -> ModelFolder:
    settings = ModelSettings(name=name)
    return ModelFolder(path=Path("/models/m"), revision="1", model_type="qwen3", settings=settings)


@pytest.mark.parametrize(
    ("ours", "root", "served", "differs"),
    [
        ("Qwen/Qwen3-Reranker-4B", "Qwen/Qwen3-Reranker-0.6B", "reranker", True),
        ("Qwen/Qwen3-Reranker-4B", "/m/models--Qwen--Qwen3-Reranker-0.6B/snapshots/1f", "reranker", True),
        ("Qwen/Qwen3-Embedding-4B", "/models/Qwen3-Reranker-4B", "x", True),
        ("winnow-rerank", "/data/models/winnow-embed", "x", True),
        ("Qwen/Qwen3-Reranker-4B", None, "qwen3-reranker-8b", True),
        ("Qwen/Qwen3-Reranker-4B", "/models/Qwen3-Reranker-4B-FP8", "reranker", False),
        ("Qwen/Qwen3-Reranker-4B", "/srv/Qwen3-Reranker-0.6B/tuned", "mine", False),
        ("mine", "Qwen/Qwen3-Reranker-0.6B", "x", False),
    ],
)
def test_two_releases_are_told_apart_by_name(ours: str, root: str | None, served: str, *, differs: bool) -> None:
    """The hub's name, its cache's folder or a folder's last part; a name of one's own is not held against anybody."""
    facts = ServerFacts(model=served, root=root, tokens_max=8_192, paths=frozenset())
    said = model_mismatch(facts, model(ours))
    assert (said is not None) is differs
    if said is not None:
        assert f"it serves {root or served}, but {ours} is configured" in said


def test_a_window_is_too_short_only_for_what_is_sent() -> None:
    """Equal is enough, and a server that does not tell is not suspected."""
    facts = ServerFacts(model="m", root=None, tokens_max=4_096, paths=frozenset())
    assert short_window(facts, model(), tokens_max=4_096) is None
    assert short_window(replace(facts, tokens_max=None), model(), tokens_max=8_192) is None
    assert "--max-model-len=8192" in (short_window(facts, model(), tokens_max=8_192) or "")


def test_routes_tell_what_a_server_was_started_as() -> None:
    """Of one that has the wanted route, or tells none, nothing is said."""
    facts = ServerFacts(model="m", root=None, tokens_max=None, paths=frozenset())

    def said(*paths: str) -> str | None:
        told = replace(facts, paths=frozenset(paths))
        return missing_route(told, wanted="/classify", instead="/v1/embeddings", flags="--right", general="/pooling")

    assert said() is said("/classify") is said("/pooling", "/health") is None
    assert "started for text generation" in (said("/v1/chat/completions") or "")
    assert "the other kind of model" in (said("/v1/embeddings") or "")
    assert said("/health") == "it has no /classify. Start vLLM with --right"


def test_an_embedders_server_has_pooling_too() -> None:
    """Its general route is no sign of a classifier."""
    facts = ServerFacts(model="m", root=None, tokens_max=None, paths=frozenset({"/pooling", "/v1/embeddings"}))
    said = missing_route(facts, wanted="/classify", instead="/v1/embeddings", flags="--right", general="/pooling")
    assert "the other kind of model" in (said or "")


@pytest.mark.parametrize(("served", "place"), [([1, 9, 3], 1), ([1, 2], 2), ([1, 2, 3, 4], 3)])
def test_the_first_token_that_differs_is_named(served: list[int], place: int) -> None:
    """Also where one side has more of them."""
    assert f"token {place} of 'yes'" in (tokenizer_mismatch("yes", served, [1, 2, 3], model()) or "")
    assert tokenizer_mismatch("yes", [1, 2, 3], (1, 2, 3), model()) is None
    assert tokenizer_mismatch("yes", None, [1, 2, 3], model()) is None
