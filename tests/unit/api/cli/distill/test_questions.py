"""Which queries a distillation learns from, and which wishes it refuses before any model is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.builders import embedded
from winnow.api.cli.distill.command import _output, _teacher
from winnow.api.cli.distill.questions import read_queries, title_queries
from winnow.api.setting_values import FurtherReranker
from winnow.api.settings import Settings
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.records import Document
from winnow.retrieval.store.lance_store import LanceStore


def write(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in enumerate(texts)))
    return path


def test_each_text_is_asked_once_and_the_seed_draws_the_order(tmp_path: Path) -> None:
    """Case and blanks make no other query; a smaller sample is the beginning of a larger one."""
    file = write(tmp_path / "q.jsonl", [*(f"query {n}" for n in range(50)), "QUERY  7", " ", "x" * 9_000])
    every = read_queries(file, seed=1, count=100)
    assert len(every) == 50
    assert len({" ".join(text.casefold().split()) for text in every.values()}) == 50
    assert list(read_queries(file, seed=1, count=10)) == list(every)[:10]
    assert list(read_queries(file, seed=2, count=10)) != list(every)[:10]


def test_titles_stand_in_for_queries(tmp_path: Path) -> None:
    """Or first headings; documents with neither, or with a title that says nothing, ask nothing."""
    store = LanceStore.create(tmp_path / "corpus", dimension=8)
    documents = [
        Document(id="titled", text="text", title="Returns of goods"),
        Document(id="headed", text="intro\n## How to  return\ntext"),
        Document(id="same", text="text", title="returns of GOODS"),
        Document(id="bare", text="text"),
        Document(id="short", text="text", title="A"),
    ]
    store.replace([embedded(each) for each in documents])
    found = title_queries(store.snapshot(), seed=1, count=10)
    assert {text.casefold() for text in found.values()} == {"returns of goods", "how to return"}
    assert len(title_queries(store.snapshot(), seed=1, count=1)) == 1


def test_a_teacher_is_a_model_a_server_or_one_that_is_configured() -> None:
    configured = FurtherReranker(model="Qwen/Qwen3-Reranker-4B", urls=("http://127.0.0.1:8003",))
    settings = Settings(rerank_also=(configured,))
    assert _teacher("Qwen/Qwen3-Reranker-4B", settings) == configured
    assert _teacher("folder", settings) == FurtherReranker(model="folder", urls=())
    assert _teacher("m=http://a:1,http://b:1", settings).urls == ("http://a:1", "http://b:1")
    for wrong in ("", "a b", "m=nowhere", "=http://a:1"):
        with pytest.raises(InvalidRequest, match="--teacher"):
            _teacher(wrong, settings)


def test_an_output_is_new_and_can_be_named_in_settings(tmp_path: Path) -> None:
    """`--rerank-also` separates its models by blanks."""
    assert _output(tmp_path / "new") == (tmp_path / "new").resolve()
    for wrong in (tmp_path, tmp_path / "a b", tmp_path / "a=b"):
        with pytest.raises(InvalidRequest, match="--output"):
            _output(wrong)
