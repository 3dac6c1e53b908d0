"""`winnow eval` over tiny models: its inputs, several settings at once, other embedders, and its figures."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ir_measures
import pytest
from typer.testing import CliRunner

from tests.answers import check_answer
from tests.tiny_models import TinyShape, write_embedder, write_reranker
from winnow.api.cli.main import app
from winnow.api.schemas.evaluation import EvalQuery, EvalResponse
from winnow.retrieval.errors import WinnowError

Run = Callable[..., Any]
WORDS = ("heron", "fish", "contract", "law", "parcel", "warranty", "river", "court", "refund", "goods", "鹭", "鱼")
QUERIES = 12
DOCUMENTS = 30


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    other = write_embedder(folder / "other", TinyShape(seed=77))
    described = json.loads((other / "winnow.json").read_text()) | {"name": "org/Other-Embed"}
    (other / "winnow.json").write_text(json.dumps(described))
    return write_embedder(folder / "embedder"), write_reranker(folder / "reranker"), other


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of random words, and grades from 0 to 2."""
    folder, drawn = tmp_path_factory.mktemp("corpus") / "words", random.Random(3)
    (folder / "qrels").mkdir(parents=True)
    texts = [" ".join(drawn.choices(WORDS, k=12)) for _ in range(DOCUMENTS)]
    lines = [{"_id": f"d{place}", "title": "", "text": text} for place, text in enumerate(texts)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines), encoding="utf-8")
    asked = [{"_id": f"q{place}", "text": " ".join(drawn.sample(WORDS, 2))} for place in range(QUERIES)]
    (folder / "queries.jsonl").write_text("".join(json.dumps(each) + "\n" for each in asked), encoding="utf-8")
    grades = [
        f"q{place}\td{document}\t{drawn.choice((0, 1, 2))}\n"
        for place in range(QUERIES)
        for document in drawn.sample(range(DOCUMENTS), 5)
    ]
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(grades), encoding="utf-8")
    return folder


@pytest.fixture
def run(tmp_path: Path, models: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `winnow eval`; returns its JSON, or what it says where it fails."""
    for name, value in (("DATA", tmp_path / "data"), ("EMBED_MODEL", models[0]), ("RERANK_MODEL", models[1])):
        monkeypatch.setenv(f"WINNOW_{name}", str(value))

    def ran(*words: str, code: int = 0) -> Any:
        done = CliRunner().invoke(app, ["eval", *words, "--json"])
        if code:
            assert isinstance(done.exception, WinnowError), done.output
            return done.exception.detail
        assert done.exit_code == 0, (done.output, done.exception)
        return json.loads(done.stdout)

    return ran


def metrics(found: Any) -> dict[str, dict[str, float]]:
    return {each["name"]: each["metrics"] for each in found["runs"]}


def test_settings_are_measured_side_by_side_and_each_pair_is_tested(run: Run, corpus: Path, tmp_path: Path) -> None:
    """A row for each, in their order; the first is what the others are compared with."""
    per_query = tmp_path / "queries.jsonl"
    found = run(
        str(corpus), "--metrics", "nDCG@10 R@20", "--gpu-hour-price", "3.6", "--per-query", str(per_query),
        "--setting", "words recall=lexical reranker=none",
        "--setting", "few candidates=3 order=relevance",
        "--setting", "many candidates=20 recall=dense order=relevance depth=full",
        "--setting", "told candidates=3 order=relevance instruction='Prefer fish, not law.'",
    )  # fmt: skip
    check_answer(EvalResponse, found)
    names = ["words", "few", "many", "told"]
    assert [each["name"] for each in found["runs"]] == names
    pairs = [(each["run"], each["against"]) for each in found["comparisons"] if each["measure"] == "nDCG@10"]
    assert pairs == [(run, against) for place, against in enumerate(names) for run in names[place + 1 :]]
    by_name = {each["name"]: each for each in found["runs"]}
    assert [by_name[name]["setting"]["candidates"] for name in names] == [0, 3, 20, 3]
    assert [by_name[name]["setting"]["recall"] for name in names] == ["lexical", "hybrid", "dense", "hybrid"]
    assert by_name["told"]["setting"]["instruction_text"] == "Prefer fish, not law."
    assert by_name["words"]["timings"]["rerank"] is None
    assert by_name["many"]["tokens"]["rerank"] > by_name["few"]["tokens"]["rerank"] > 0
    for each in found["runs"]:
        total = each["timings"]["total"]
        assert 0 < total["p50"] <= total["p90"] <= total["p99"]
        assert each["cost_per_1000"] > 0
    assert by_name["words"]["differences"] is by_name["words"]["movement"] is None
    curve = by_name["many"]["by_reranked"]
    assert (curve["x"][0], curve["x"][-1]) == (0, 20)
    assert curve["y"][-1] == pytest.approx(by_name["many"]["metrics"]["nDCG@10"], abs=1e-12)
    for each in per_query.read_text(encoding="utf-8").splitlines():
        check_answer(EvalQuery, json.loads(each))


def test_another_embedder_gets_a_collection_of_its_own(run: Run, corpus: Path, models: tuple[Path, Path, Path]) -> None:
    """In one go, and as the second of two runs; asked again, it is found again."""
    alone = ("--run", "recall", "--recall", "dense", "--metrics", "nDCG@10")
    ours = run(str(corpus), *alone)
    theirs = run(str(corpus), *alone, "--embed-model", str(models[2]))
    assert theirs["runs"][0]["setting"]["embedder"] == "org/Other-Embed"
    own = theirs["runs"][0]["setting"]["collection"]
    assert own.startswith("eval-words-other-embed-")
    both = run(
        str(corpus), "--metrics", "nDCG@10",
        "--setting", "ours recall=dense reranker=none",
        "--setting", f"theirs recall=dense reranker=none embedder={models[2]}",
    )  # fmt: skip
    assert [each["setting"]["collection"] for each in both["runs"]] == ["eval-words", own]
    assert [each["metrics"] for each in both["runs"]] == [ours["runs"][0]["metrics"], theirs["runs"][0]["metrics"]]
    told = ("instructions", "publish", "fish", "Prefer fish.")
    for words in (told, ("collections", "set-instruction", "eval-words", "fish")):
        done = CliRunner().invoke(app, [*words])
        assert done.exit_code == 0, done.output
    both = run(
        str(corpus), "--metrics", "nDCG@10",
        "--setting", "ours candidates=2", "--setting", f"theirs candidates=2 embedder={models[2]}",
    )  # fmt: skip
    assert [each["setting"]["instruction_text"] for each in both["runs"]] == ["Prefer fish.", "Prefer fish."]
    refused = run(str(corpus), *alone, "--collection", "eval-words", "--embed-model", str(models[2]), code=1)
    assert "was built with" in refused


def test_files_of_queries_and_judgments_measure_a_collection_that_is_there(
    run: Run, corpus: Path, tmp_path: Path
) -> None:
    """With and without a header, in the tables of BEIR and of TREC, the figures are the folder's."""
    alone = ("--run", "recall", "--metrics", "nDCG@10 R@20 MRR@10")
    expected = metrics(run(str(corpus), *alone))
    asked = [json.loads(line) for line in (corpus / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    table = "".join(f"{each['_id']}\t{each['text']}\n" for each in asked)
    graded = [line.split("\t") for line in (corpus / "qrels" / "test.tsv").read_text().splitlines()[1:]]
    beir = "".join(f"{query}\t{document}\t{grade}\n" for query, document, grade in graded)
    trec = "".join(f"{query} 0 {document} {grade}\n" for query, document, grade in graded)
    topics = "".join(f"<top><num>{each['_id']}</num><title>{each['text']}</title></top>\n" for each in asked)
    for name, queries, qrels in (
        ("a.tsv", table, trec),
        ("b.tsv", "query-id\ttext\n" + table, "query-id\tcorpus-id\tscore\n" + beir),
        ("c.topics", topics, beir),
    ):
        (tmp_path / name).write_text(queries, encoding="utf-8")
        (tmp_path / "qrels").write_text(qrels, encoding="utf-8")
        files = ("--queries", str(tmp_path / name), "--qrels", str(tmp_path / "qrels"))
        found = run(*files, "--collection", "eval-words", *alone)
        assert metrics(found) == expected, name
        assert (found["folder"], found["documents"]) == (None, DOCUMENTS)
    sampled = run(*files, "--collection", "eval-words", *alone, "--sample", "3")
    assert sampled["queries"] == run(str(corpus), *alone, "--queries", "3")["queries"] == 3


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--collection", "c"], "pass a BEIR folder, or --collection NAME, --queries FILE and --qrels FILE"),
        (["CORPUS", "--metrics", " "], "--metrics is empty; name a measure"),
        (["CORPUS", "--sample", "3", "--queries", "3"], "their number as --sample N"),
        (["CORPUS", "--setting", "a", "--recall", "dense"], "--recall and --setting cannot be used together"),
        (["CORPUS", "--setting", "a", "--reranker", "b"], "write reranker=... in each setting"),
        (["CORPUS", "--setting", "a", "--run", "recall"], "write reranker=none in each setting"),
    ],
)
def test_what_contradicts_itself_is_refused(run: Run, corpus: Path, words: list[str], wrong: str) -> None:
    assert wrong in run(*(str(corpus) if each == "CORPUS" else each for each in words), code=2)


def test_another_embedder_needs_the_documents(run: Run, corpus: Path, models: tuple[Path, Path, Path]) -> None:
    run(str(corpus), "--run", "recall")
    files = ("--queries", str(corpus / "queries.jsonl"), "--qrels", str(corpus / "qrels" / "test.tsv"))
    setting = ("--setting", f"theirs reranker=none embedder={models[2]}")
    assert "pass the BEIR folder of its documents" in run(*files, "-c", "eval-words", *setting, code=2)


def test_figures_are_those_of_ir_measures_on_the_exported_runs(run: Run, corpus: Path, tmp_path: Path) -> None:
    """To 1e-9, for each query and in the mean, with grades of 0, 1 and 2."""
    found = run(
        str(corpus), "--metrics", "nDCG@3 nDCG@10 R@5 R@20 MRR@10", "--output", str(tmp_path / "run"),
        "--per-query", str(tmp_path / "queries.jsonl"), "--candidates", "10", "--recall", "dense hybrid",
    )  # fmt: skip
    measures = {each: ir_measures.parse_measure(each.replace("MRR", "RR")) for each in found["runs"][0]["metrics"]}
    qrels = [
        ir_measures.Qrel(query, document, int(grade))
        for query, document, grade in (
            line.split("\t") for line in (corpus / "qrels" / "test.tsv").read_text().splitlines()[1:]
        )
    ]
    lines = [json.loads(line) for line in (tmp_path / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    asked = {each["id"] for each in lines}
    assert len(found["runs"]) == 6
    for each in found["runs"]:
        exported = list(ir_measures.read_trec_run(str(tmp_path / f"run.{each['name']}")))
        oracle: dict[tuple[str, str], float] = {
            (metric.query_id, str(metric.measure)): metric.value
            for metric in ir_measures.iter_calc(measures.values(), qrels, exported)
            if metric.query_id in asked
        }
        for spelling, measure in measures.items():
            values = [oracle[line["id"], str(measure)] for line in lines]
            ours = [line["runs"][each["name"]][spelling] for line in lines]
            assert ours == pytest.approx(values, abs=1e-9)
            assert each["metrics"][spelling] == pytest.approx(math.fsum(values) / len(values), abs=1e-9)
