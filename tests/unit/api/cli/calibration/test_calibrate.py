"""`winnow calibrate`: what it measures, stores, lists, removes and refuses, over tiny models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.tiny_models import write_embedder, write_reranker
from winnow.api.cli.main import app
from winnow.retrieval.errors import InvalidRequest, NotCalibrated

WORDS = ("heron", "otter", "badger", "beaver", "lynx", "stoat", "crane", "raven", "viper", "salmon", "trout", "perch")
QUERIES = [f"What does the {word} eat in {season}?" for word in WORDS for season in ("winter", "summer")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of two documents an animal, its queries, and judgements of the first result or of nothing."""
    folder = tmp_path_factory.mktemp("calibrate")
    write_embedder(folder / "embedder")
    write_reranker(folder / "reranker")
    documents = [
        {"id": f"{word}-{season}", "text": f"In {season} the {word} eats what it finds."}
        for word in WORDS
        for season in ("winter", "summer")
    ]
    write(folder / "corpus.jsonl", documents)
    write(folder / "queries.jsonl", [{"id": f"q{number}", "text": text} for number, text in enumerate(QUERIES)])
    everything = [f"q{n} 0 {each['id']} 1" for n in range(len(QUERIES)) for each in documents]
    (folder / "all.qrels").write_text("\n".join(everything), encoding="utf-8")
    nothing = [line.removesuffix("1") + "0" for line in everything]
    (folder / "none.qrels").write_text("\n".join(nothing), encoding="utf-8")
    assert run(folder, "index", str(folder / "corpus.jsonl"), "--collection", "animals")[0] == 0
    return folder


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")


def run(place: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(
        app,
        [*words, "--data", str(place / "data")],
        env={"WINNOW_EMBED_MODEL": str(place / "embedder"), "WINNOW_RERANK_MODEL": str(place / "reranker")},
        catch_exceptions=False,
    )
    return done.exit_code, done.stdout


def calibrated(place: Path, qrels: str, *words: str) -> tuple[int, dict[str, Any]]:
    files = ("--qrels", str(place / qrels), "--queries", str(place / "queries.jsonl"))
    code, out = run(place, "calibrate", "animals", *files, "--candidates", "10", "--json", *words)
    return code, json.loads(out)


def test_a_threshold_is_measured_stored_used_listed_and_removed(place: Path) -> None:
    """Where all passages are relevant, the smallest threshold shows something for all queries."""
    code, body = calibrated(place, "all.qrels", "--precision", "0.8")
    made = body["calibration"]
    assert (code, body["calibrated"], body["reason"], body["unjudged"]) == (0, True, None, 0)
    assert (made["queries"], made["tested"], made["precision"], made["observed"]) == (24, 19, 0.8, 1.0)
    assert made["lower"] >= 0.8
    assert 0.7 <= made["coverage"] <= 1.0
    code, out = run(
        place, "search", QUERIES[0], "-c", "animals", "--min-relevance", "calibrated", "--explain", "--json"
    )
    found = json.loads(out)
    assert (code, found["calibration"]["threshold"]) == (0, made["threshold"])
    assert found["answerable"] is bool(found["results"])
    assert all(each["relevance"] >= made["threshold"] for each in found["results"])
    assert [each["above_threshold"] for each in found["explain"]] == [
        each["relevance"] >= made["threshold"] for each in found["explain"]
    ]
    with pytest.raises(NotCalibrated, match="only for other instructions"):
        run(place, "search", QUERIES[0], "-c", "animals", "--min-relevance", "calibrated", "-i", "Prefer herons.")
    assert "tiny-rerank\tdefault@1" in run(place, "calibrate", "animals", "--list")[1]
    assert json.loads(run(place, "calibrate", "animals", "--remove", "--json")[1]) == {"removed": 1}
    assert json.loads(run(place, "calibrate", "animals", "--list", "--json")[1]) == {"calibrations": []}


def test_where_nothing_is_relevant_it_says_so_and_stores_nothing(place: Path) -> None:
    code, body = calibrated(place, "none.qrels", "--precision", "0.8")
    assert (code, body["calibrated"], body["calibration"]) == (1, False, None)
    assert "a precision of 0.8 is not shown with 95% confidence" in body["reason"]
    assert not body["tests"][-1]["passed"]
    assert json.loads(run(place, "calibrate", "animals", "--list", "--json")[1]) == {"calibrations": []}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--precision", "1"), "1 can never be shown"),
        (("--precision", "0.8", "--confidence", "1"), "--confidence 1"),
        (("--precision", "0.8", "--top-k", "11"), "--top-k 11 is more than the 10 candidates"),
        ((), "--precision are needed"),
        (("--list", "--remove"), "cannot be used together"),
    ],
)
def test_a_wish_that_cannot_be_measured_is_refused(place: Path, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        calibrated(place, "all.qrels", *words)


def test_too_few_judged_queries_are_refused_before_a_model_is_loaded(place: Path, tmp_path: Path) -> None:
    (tmp_path / "few.qrels").write_text("q1 0 heron-winter 1\n", encoding="utf-8")
    files = ("--qrels", str(tmp_path / "few.qrels"), "--queries", str(place / "queries.jsonl"))
    with pytest.raises(InvalidRequest, match="1 queries have judgements; a calibration needs at least 20"):
        run(place, "calibrate", "animals", *files, "--precision", "0.8")
