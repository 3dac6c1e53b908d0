"""`winnow judgments`: stored, listed, exported and deleted from the command line."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from tests.answers import check_answer
from tests.fakes import PrefersWord
from tests.tiny_models import write_embedder, write_reranker
from winnow.api.cli.judgments.label import Plan, judgments_of
from winnow.api.cli.main import app
from winnow.api.schemas.judgments import AddedJudgments, ExportedJudgments, JudgmentsResponse, RemovedJudgments
from winnow.indexer.readers.beir import read_qrels_file
from winnow.indexer.readers.query_file import read_query_file
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import CollectionNotFound, DocumentNotFound, InvalidRequest
from winnow.retrieval.records import candidates_of
from winnow.retrieval.tenancy import DEFAULT_TENANT

CORPUS = [
    {"id": "refunds", "title": "Refunds", "text": "You may return goods within fourteen days."},
    {"id": "herons", "title": "Herons", "text": "The heron stands still in shallow water."},
    {"id": "退货", "title": "退货", "text": "消费者自收到商品之日起七日内有权退货。"},
]
QUERIES = {"q1": "return goods", "q2": "退货"}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("judgments")
    (root / "corpus.jsonl").write_bytes(b"\n".join(map(orjson.dumps, CORPUS)))
    (root / "queries.jsonl").write_bytes(
        b"\n".join(orjson.dumps({"_id": each, "text": text}) for each, text in QUERIES.items())
    )
    (root / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\trefunds\t2\nq1\therons\t0\nq2\t退货\t1\n")
    write_embedder(root / "embedder")
    write_reranker(root / "reranker")
    ran(root, "index", str(root / "corpus.jsonl"), "-c", "docs", "--embed-model", str(root / "embedder"))
    return root


def ran(root: Path, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--data", str(root / "data")])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def answered(root: Path, *words: str) -> Any:
    return json.loads(ran(root, "judgments", *words, "--json"))


@pytest.fixture(autouse=True)
def _emptied(indexed: Path) -> None:
    ran(indexed, "judgments", "remove", "--all", "--yes")
    ran(indexed, "judgments", "keep-queries", "off")


def imported(root: Path, *more: str) -> Any:
    files = ("--qrels", str(root / "qrels.tsv"), "--queries", str(root / "queries.jsonl"))
    return answered(root, "import", "docs", *files, *more)


def exported(root: Path, *more: str) -> tuple[Any, Any, Any]:
    qrels, queries = root / "out.tsv", root / "out.jsonl"
    body = answered(root, "export", "docs", "--qrels", str(qrels), "--queries", str(queries), *more)
    check_answer(ExportedJudgments, body)
    return body, read_qrels_file(qrels), read_query_file(queries)


def test_what_was_imported_is_exported_again(indexed: Path) -> None:
    """With the ids of the queries that the caller knows; else with ids of their digests, and texts where kept."""
    body = imported(indexed)
    check_answer(AddedJudgments, body)
    assert body == {"added": 3, "queries": 2, "source": "person", "judge": "command-line", "texts_kept": False}
    judged = {"q1": {"refunds": 2, "herons": 0}, "q2": {"退货": 1}}
    said, qrels, texts = exported(indexed, "--texts", str(indexed / "queries.jsonl"))
    assert (said["judgments"], said["without_text"], qrels, texts) == (3, 0, judged, QUERIES)
    said, qrels, texts = exported(indexed)
    assert (said["without_text"], list(qrels.values()), texts) == (2, list(judged.values()), {})
    answered(indexed, "keep-queries", "on")
    imported(indexed)
    said, qrels, texts = exported(indexed)
    assert (said["without_text"], set(texts), set(texts.values())) == (0, set(qrels), set(QUERIES.values()))


def test_what_was_exported_can_be_evaluated(indexed: Path) -> None:
    """Of queries whose texts are kept, over the collection that was judged."""
    answered(indexed, "keep-queries", "on")
    imported(indexed)
    answered(indexed, "add", "docs", "where do herons stand", "herons", "--grade", "1")
    exported(indexed)
    found = json.loads(
        ran(
            indexed, "eval", "--collection", "docs", "--queries", str(indexed / "out.jsonl"),
            "--qrels", str(indexed / "out.tsv"), "--run", "recall", "--metrics", "R@3", "--json",
            "--embed-model", str(indexed / "embedder"),
        )
    )  # fmt: skip
    assert (found["queries"], found["documents"]) == (3, len(CORPUS))
    assert found["runs"][0]["metrics"] == {"R@3": 1.0}  # all three documents are found


def test_an_export_that_cannot_be_read_or_destroys_a_file_is_refused(indexed: Path) -> None:
    """Before anything is written."""
    texts = indexed / "queries.jsonl"
    before = texts.read_bytes()
    for words, wrong in (
        (("--qrels", "a.tsv", "--queries", "b.tsv"), "--queries b.tsv: name it .jsonl"),
        (("--qrels", "a.tsv", "--queries", str(texts), "--texts", str(texts)), "--queries and --texts are the same"),
        (("--qrels", str(texts), "--texts", str(texts)), "--qrels and --texts are the same file"),
    ):
        with pytest.raises(InvalidRequest, match=wrong):
            ran(indexed, "judgments", "export", "docs", *words)
    assert texts.read_bytes() == before


def test_a_negative_grade_of_trec_is_not_relevant(indexed: Path) -> None:
    queries, qrels = indexed / "spam.jsonl", indexed / "spam.tsv"
    queries.write_bytes(orjson.dumps({"id": "q7", "text": "return goods"}))
    qrels.write_text("q7 0 herons -2\nq7 0 refunds 1\n")
    answered(indexed, "import", "docs", "--qrels", str(qrels), "--queries", str(queries))
    assert exported(indexed, "--texts", str(queries))[1] == {"q7": {"herons": 0, "refunds": 1}}


def test_an_import_names_the_query_at_fault(indexed: Path) -> None:
    """A query without a text, and a grade beyond the scale."""
    queries, qrels = indexed / "odd.jsonl", indexed / "odd.tsv"
    for text, grade, wrong in (("", 1, "query 'q7': a query has 1 to"), ("herons", 11, "query 'q7': the grade 11 of")):
        queries.write_bytes(orjson.dumps({"id": "q7", "text": text}))
        qrels.write_text(f"q7 0 herons {grade}\n")
        with pytest.raises(InvalidRequest, match=wrong):
            ran(indexed, "judgments", "import", "docs", "--qrels", str(qrels), "--queries", str(queries))


def test_more_labels_than_a_tenant_may_have_are_refused_before_anything_is_asked(indexed: Path) -> None:
    with pytest.raises(InvalidRequest, match="more than 100,000 judgments"):
        ran(indexed, "judgments", "label", "docs", "--sample", "10000", "--per-query", "20")


def test_a_models_judgments_are_mixed_with_peoples_only_where_asked(indexed: Path) -> None:
    """And then only where no person judged."""
    imported(indexed, "--source", "model", "--judge", "large")
    answered(indexed, "add", "docs", "return goods", "refunds", "--grade", "1")
    known = ("--texts", str(indexed / "queries.jsonl"))
    assert exported(indexed, *known)[1] == {"q1": {"refunds": 1}}
    assert exported(indexed, *known, "--source", "model")[1]["q1"] == {"refunds": 2, "herons": 0}
    assert exported(indexed, *known, "--source", "all")[1] == {
        "q1": {"refunds": 1, "herons": 0},
        "q2": {"退货": 1},
    }


def test_judgments_are_listed_and_deleted(indexed: Path) -> None:
    imported(indexed, "--judge", "ada")
    answered(indexed, "add", "docs", "退货", "退货", "--grade", "3")
    listed = answered(indexed, "list", "docs")
    check_answer(JudgmentsResponse, listed)
    assert [(each["judge"], each["grade"]) for each in listed["judgments"]] == [
        ("ada", 2), ("ada", 0), ("ada", 1), ("command-line", 3),
    ]  # fmt: skip
    assert ran(indexed, "judgments", "list", "--judge", "ada").count("\n") == 4
    with pytest.raises(InvalidRequest, match="or else --all"):
        ran(indexed, "judgments", "remove", "--yes")
    removed = answered(indexed, "remove", "--judge", "ada", "--yes")
    check_answer(RemovedJudgments, removed)
    assert removed == {"removed": 3}
    assert answered(indexed, "remove", "docs", "--source", "person", "--yes") == {"removed": 1}


def test_what_is_not_there_cannot_be_judged(indexed: Path) -> None:
    """A collection, a document, a query of the file of judgments; and nothing of such a file is stored."""
    with pytest.raises(CollectionNotFound):
        ran(indexed, "judgments", "add", "nope", "q", "refunds", "--grade", "1")
    with pytest.raises(DocumentNotFound):
        ran(indexed, "judgments", "add", "docs", "q", "nope", "--grade", "1")
    lacking = indexed / "lacking.tsv"
    lacking.write_text("q1\t0\trefunds\t1\nq9\t0\trefunds\t1\n")
    files = ("--qrels", str(lacking), "--queries", str(indexed / "queries.jsonl"))
    with pytest.raises(InvalidRequest, match="no query 'q9'"):
        ran(indexed, "judgments", "import", "docs", *files)
    assert answered(indexed, "list")["judgments"] == []


def test_a_reranker_labels_a_sample(indexed: Path) -> None:
    """Every candidate of each query, marked as a model's under the reranker's name."""
    models = ("--embed-model", str(indexed / "embedder"), "--rerank-model", str(indexed / "reranker"))
    queries = ("--queries", str(indexed / "queries.jsonl"))
    body = answered(indexed, "label", "docs", *queries, "--per-query", "2", "--recall", "dense", *models)
    check_answer(AddedJudgments, body)
    assert (body["source"], body["judge"], body["queries"], body["added"]) == ("model", "tiny-rerank", 2, 4)
    assert {each["source"] for each in answered(indexed, "list")["judgments"]} == {"model"}
    assert exported(indexed)[0]["judgments"] == 0
    assert answered(indexed, "label", "docs", "--sample", "1", "--recall", "dense", *models)["queries"] == 1


@pytest.mark.parametrize(("threshold", "grades"), [(0.5, {"a": 1, "b": 0}), (0.95, {"a": 0, "b": 0})])
def test_the_best_chunk_of_a_document_gives_its_grade(threshold: float, grades: dict[str, int]) -> None:
    texts = ["heron", "fish", "fish"]
    candidates = [
        replace(each, chunk=replace(each.chunk, document_id=document))
        for each, document in zip(candidates_of(texts), ["a", "a", "b"], strict=True)
    ]
    ranking = asyncio.run(
        PrefersWord("heron").rank(
            "q", candidates, instruction="i", tenant=DEFAULT_TENANT, deadline=Deadline.never(), top_k=None
        )
    )
    plan = Plan(
        tenant=DEFAULT_TENANT, collection="docs", queries=None, sample=1, per_query=9, threshold=threshold,
        instruction=None, seed=1,
    )  # fmt: skip
    assert {each.document_id: each.grade for each in judgments_of(ranking, "q", plan)} == grades
