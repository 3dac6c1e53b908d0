"""Fields from the command line: chosen when a collection is made, changed, searched, evaluated, moved and adopted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.tiny_models import write_embedder, write_reranker
from winnow.api.cli.collection_fields import parse_fields
from winnow.api.cli.main import app
from winnow.retrieval.document_fields import FieldChoice
from winnow.retrieval.errors import InvalidRequest

Run = Callable[..., Any]
BEIR = {"_id": "p-1", "title": "Herons", "text": "The heron eats fish.", "metadata": {"date": "2024-02-03", "cited": 7}}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return write_embedder(folder / "embedder"), write_reranker(folder / "reranker")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "papers"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(json.dumps(BEIR) + "\n", encoding="utf-8")
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "What does a heron eat?"}\n', encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\tp-1\t1\n", encoding="utf-8")
    return folder


@pytest.fixture
def run(tmp_path: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command over one data folder; returns its JSON, or what it says where it fails."""
    for name, value in (("DATA", tmp_path / "data"), ("EMBED_MODEL", models[0]), ("RERANK_MODEL", models[1])):
        monkeypatch.setenv(f"WINNOW_{name}", str(value))

    def ran(*words: str, code: int = 0) -> Any:
        done = CliRunner().invoke(app, [*words, "--json"])
        if code == 2:
            assert isinstance(done.exception, InvalidRequest), done.output
            return done.exception.detail
        assert done.exit_code == code, (done.output, done.exception)
        return json.loads(done.stdout)

    return ran


def fields_of(run: Run, name: str) -> tuple[list[str], int, list[str], int]:
    found = run("collections", "show", name)
    return found["rerank_fields"], found["rerank_field_tokens"], found["embed_fields"], found["embed_field_tokens"]


def test_fields_live_from_index_to_evaluation(run: Run, corpus: Path) -> None:
    """Chosen by `index`, changed by `collections`, read by `search`, replaced in `eval`."""
    index = ("index", str(corpus), "--collection", "papers")
    run(*index, "--rerank-fields", "date, cited", "--embed-fields", "cited", "--embed-field-tokens", "32")
    assert fields_of(run, "papers") == (["date", "cited"], 128, ["cited"], 32)
    run(*index, "--rerank-fields", "date,cited")
    assert "collections set-rerank-fields papers" in run(*index, "--rerank-fields", "date", code=2)
    assert "papers exists, embedded with the fields cited" in run(*index, "--embed-fields", "date", code=2)
    assert "--rerank-field-tokens needs --rerank-fields" in run(*index, "--rerank-field-tokens", "9", code=2)

    search = ("search", "heron", "--collection", "papers", "--always-rerank", "--explain", "--instruction", "x")
    assert run(*search)["explain"][0]["fields"] == ["date: 2024-02-03", "cited: 7"]
    said = run("collections", "set-rerank-fields", "papers", "cited", "--tokens", "64")
    assert said == {"collection": "papers", "rerank_fields": ["cited"], "rerank_field_tokens": 64}
    assert run(*search)["explain"][0]["fields"] == ["cited: 7"]
    preview = run("instructions", "preview", "--text", "x", "--collection", "papers", "--document-id", "p-1")
    assert "<Document>: cited: 7\n\nHerons\nThe heron eats fish." in preview["prompt"]
    preview = run("instructions", "preview", "--text", "x", "--document", "A text.", "--field", "date=2020")
    assert "<Document>: date: 2020\n\nA text." in preview["prompt"]

    evaluate = ("eval", str(corpus), "--collection", "papers", "--metrics", "nDCG@10")
    assert run(*evaluate)["rerank_fields"] == ["cited"]
    assert run(*evaluate, "--rerank-fields", "date,cited")["rerank_fields"] == ["date", "cited"]
    assert run(*evaluate, "--rerank-fields", "")["rerank_fields"] == []
    assert fields_of(run, "papers")[0] == ["cited"]
    assert run("collections", "set-rerank-fields", "papers", "--tokens", "96")["rerank_fields"] == ["cited"]
    assert run("collections", "set-rerank-fields", "papers")["rerank_fields"] == []
    assert run("collections", "set-rerank-fields", "papers", "date,cited", "source")["rerank_fields"] == [
        "date",
        "cited",
        "source",
    ]


def test_flags_without_tokens_require_no_tokens(run: Run, corpus: Path) -> None:
    """The command that made a collection runs again after its bounds were changed."""
    index = ("index", str(corpus), "--collection", "papers", "--rerank-fields", "date,cited", "--embed-fields", "cited")
    run(*index, "--embed-field-tokens", "32")
    run("collections", "set-rerank-fields", "papers", "--tokens", "8")
    run(*index)
    refused = run(*index, "--rerank-field-tokens", "128", code=2)
    assert "reads the fields date, cited in at most 8 tokens" in refused
    assert "embedded with the fields cited in at most 32 tokens" in run(*index, "--embed-field-tokens", "64", code=2)
    assert fields_of(run, "papers") == (["date", "cited"], 8, ["cited"], 32)

    tried = parse_fields("--rerank-fields", "cited", None).of(FieldChoice(names=("date", "cited"), tokens_max=8))
    assert tried == FieldChoice(names=("cited",), tokens_max=8)
    run("collections", "set-rerank-fields", "papers")
    run("index", str(corpus), "--collection", "papers", "--rerank-fields", "")


def test_embedded_fields_change_only_in_an_empty_collection(run: Run, corpus: Path) -> None:
    run("index", str(corpus), "--collection", "papers")
    assert "papers has 1 document, embedded with no fields" in run(
        "collections", "set-embed-fields", "papers", "date", code=2
    )
    (corpus / "corpus.jsonl").write_text('{"_id": "p-2", "title": "T", "text": ""}\n', encoding="utf-8")
    run("index", str(corpus), "--collection", "empty", code=1)
    changed = run("collections", "set-embed-fields", "empty", "date", "source")
    assert changed == {"collection": "empty", "embed_fields": ["date", "source"], "embed_field_tokens": 128}


def test_fields_travel_with_a_collection(run: Run, corpus: Path, tmp_path: Path) -> None:
    """In a snapshot both; in the folder of a lost catalog those that its vectors were made with."""
    fields = ("--rerank-fields", "date", "--embed-fields", "cited", "--embed-field-tokens", "32")
    run("index", str(corpus), "--collection", "papers", *fields)
    run("snapshot", str(tmp_path / "copy"), "--collection", "papers")
    run("restore", str(tmp_path / "copy"), "--collection", "restored")
    assert fields_of(run, "restored") == fields_of(run, "papers") == (["date"], 128, ["cited"], 32)
    for left in (tmp_path / "data").glob("catalog.sqlite*"):
        left.unlink()
    run("collections", "adopt", "--all", "--yes")
    assert fields_of(run, "papers") == ([], 128, ["cited"], 32)
