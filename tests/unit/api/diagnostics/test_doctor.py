"""What doctor says of models of each kind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.tiny_foreign_models import write_bert, write_bert_embedder
from tests.tiny_models import write_embedder, write_reranker
from winnow.api.diagnostics.doctor import examined
from winnow.api.settings import Settings

OF_QWEN = ("<think>", "9693", "Instruct: ", "<|endoftext|>", "vLLM", "merges.txt")


@pytest.mark.parametrize("is_foreign", [True, False])
def test_the_causes_named_are_those_of_the_kind_of_model(tmp_path: Path, *, is_foreign: bool) -> None:
    """Random weights of every kind fail; advice on Qwen3's prompt helps with a Qwen3 only."""
    embedder = write_bert_embedder(tmp_path / "e") if is_foreign else write_embedder(tmp_path / "e")
    reranker = write_bert(tmp_path / "r") if is_foreign else write_reranker(tmp_path / "r")
    settings = Settings(
        data=tmp_path / "data", embed_model=str(embedder), rerank_model=str(reranker), device="cpu", dtype="float32"
    )
    found = asyncio.run(examined(settings))
    assert not found.is_well
    assert [each.kind for each in found.answers] == ["embedder", "reranker"]
    for answers in found.answers:
        causes = " ".join(answers.likely_causes)
        assert any(words in causes for words in OF_QWEN) != is_foreign, causes
        assert "Weights: " in causes
        assert "Rounding: " not in causes
    if is_foreign:
        assert "--embed-query-prefix" in " ".join(found.answers[0].likely_causes)
