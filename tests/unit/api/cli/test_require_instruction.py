"""A collection that requires an instruction gets no reranker that reads none from the command line either."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.tiny_foreign_models import write_bert
from tests.tiny_models import write_embedder, write_reranker
from winnow.api.cli.main import app
from winnow.retrieval.errors import InstructionUnsupported


def test_a_reranker_that_reads_no_instruction_is_refused_when_it_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By either command, as over HTTP; one that is not on this machine is not downloaded to be asked."""
    also = f"{write_bert(tmp_path / 'bert')} org/elsewhere"
    models = {"EMBED_MODEL": write_embedder(tmp_path / "e"), "RERANK_MODEL": write_reranker(tmp_path / "r")}
    for name, value in {"DATA": tmp_path / "data", "RERANK_ALSO": also, **models}.items():
        monkeypatch.setenv(f"WINNOW_{name}", str(value))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "a", "text": "A heron eats fish."}\n', encoding="utf-8")

    def run(*words: str) -> BaseException | None:
        return CliRunner().invoke(app, [*words, "--json"]).exception

    assert run("index", str(corpus), "--collection", "docs") is None
    assert run("collections", "set-require-instruction", "docs", "on") is None
    refused = run("collections", "set-reranker", "docs", "bert")
    assert isinstance(refused, InstructionUnsupported)
    assert "docs has bert" in str(refused)
    assert run("collections", "set-reranker", "docs", "tiny-rerank") is None
    assert run("collections", "set-reranker", "docs", "org/elsewhere") is None
    assert run("collections", "set-require-instruction", "docs", "off") is None
    assert run("collections", "set-reranker", "docs", "bert") is None
    assert isinstance(run("collections", "set-require-instruction", "docs", "on"), InstructionUnsupported)
    monkeypatch.delenv("WINNOW_RERANK_ALSO")  # whether a reranker of another configuration reads one is not known
    assert run("collections", "set-require-instruction", "docs", "on") is None
