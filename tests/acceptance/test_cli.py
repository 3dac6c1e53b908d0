"""The command line as scripts and people use it: streams, exit codes, and what a second run does."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.acceptance.conftest import DOCUMENTS, PROJECT, Command
from tests.answers import check_answer
from tests.loopback import Asked, ResponseModel, serving
from tests.real_models import bundled_model
from winnow.api.schemas.compat.rerank import RerankResponse
from winnow.api.schemas.doctor import DoctorResponse
from winnow.api.schemas.search_response import SearchResponse
from winnow.retrieval.lexical.words import WORD_RULES

pytestmark = pytest.mark.acceptance


def test_help_does_not_load_what_commands_need() -> None:
    """`winnow --help` is instant: nothing heavy is imported before a command runs, and no command for the list."""
    heavy = "{'torch', 'lance', 'faiss', 'numpy', 'fastapi', 'pydantic', 'rich.console', 'sqlalchemy', 'pyarrow'}"
    programs = (
        f"import sys, winnow.api.cli.main as m; [*map(m.load, m.ENTRIES)]; print({heavy} & set(sys.modules))",
        "import sys, winnow.api.cli.main as m; m.app(['--help'], standalone_mode=False)\n"
        "print(sorted(name for name in sys.modules if name.startswith('winnow.api.cli.')))",
    )
    shown = [
        subprocess.run([sys.executable, "-c", each], capture_output=True, text=True, check=True, cwd=PROJECT).stdout
        for each in programs
    ]
    assert shown[0].strip() == "set()"
    few = ["winnow.api.cli.main", "winnow.api.cli.standard_streams", "winnow.api.cli.terminal"]
    assert shown[1].splitlines()[-1] == str(few)


def test_an_index_run_reports_as_json_and_a_second_one_writes_nothing(winnow: Command, corpus: Path) -> None:
    """Exit 0, one object on stdout; unchanged documents are not embedded again and no generation is built."""
    first = winnow.run("index", str(corpus), "--collection", "docs", "--data", str(winnow.data), "--json")
    second = winnow.run("index", str(corpus), "--collection", "docs", "--json")
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert (first.json["added"], first.json["documents"], first.json["rejected"]) == (4, 4, 0)
    assert (second.json["added"], second.json["unchanged"], second.json["tokens"]) == (0, 4, 0)
    assert second.json["generation"] == first.json["generation"] == "g000001"


def test_the_kind_of_an_index_is_set_and_explained(winnow: Command, corpus: Path) -> None:
    """By a flag when it is built; with what was built, why, what it reaches, and what would be built now."""
    assert winnow.run("generations", "explain", "--collection", "docs").code == 2
    built = winnow.run("index", str(corpus), "--collection", "docs", "--index-recipe", "ivf-pq", "--json")
    assert built.code == 0, built.err
    told = winnow.run("generations", "explain", "--collection", "docs", "--index-recall", "0.7", "--json")
    assert told.code == 0, told.err
    current, then = told.json["current"], told.json["next"]
    assert (current["generation"], current["recipe"], current["recall"]) == ("g000001", "exact", 1.0)
    assert current["reason"] == f"ivf-pq is configured, but {current['chunks']} vectors are too few for it"
    assert (current["parameters"], current["recall_target"]) == ({}, 0.98)
    assert (then["recipe"], told.json["refused"]) == ("exact", None)
    assert then["building_bytes"] > then["index_bytes"] > 0
    folded = winnow.run("generations", "fold", "--collection", "docs", "--index-recipe", "hnsw", "--json")
    assert (folded.json["generations"][0]["recipe"], folded.json["generations"][0]["recall"]) == ("exact", 1.0)
    shown = winnow.run("generations", "explain", "--collection", "docs")
    assert "g000002: exact" in shown.out
    assert "hnsw is configured, but" in shown.out


def test_rejected_records_are_named_and_tell_by_the_exit_code(winnow: Command, tmp_path: Path) -> None:
    """The good go in; 3 says that some did not, unless they are allowed."""
    lines = [json.dumps({"id": "a", "text": "good"}), "{broken", json.dumps({"text": "no id"})]
    source = tmp_path / "docs.jsonl"
    source.write_text("\n".join(lines), encoding="utf-8")
    done = winnow.run("index", str(source), "--collection", "docs", "--json")
    assert done.code == 3, done.err
    assert (done.json["documents"], done.json["rejected"]) == (1, 2)
    rejects = [json.loads(line) for line in Path(done.json["rejects"]).read_text(encoding="utf-8").splitlines()]
    assert [reject["line"] for reject in rejects] == [2, 3]
    assert winnow.run("index", str(source), "--collection", "docs", "--allow-rejects").code == 0


def test_search_prints_the_body_of_the_http_route(indexed: Command) -> None:
    """The fixed spelling of the design, the documented fields, nothing else on stdout."""
    done = indexed.run(
        "search", "return goods", "--collection", "four", "--data", str(indexed.data),
        "--top-k", "2", "--candidates", "3", "--instruction", "Prefer policies.", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    check_answer(SearchResponse, done.json)
    assert [result["rank"] for result in done.json["results"]] == [1, 2]
    assert (done.json["instruction"]["source"], done.json["usage"]["candidates"]) == ("request", 3)
    assert all(0 <= result["relevance"] <= 1 for result in done.json["results"])


def test_search_without_rerank_is_in_recalls_order(indexed: Command) -> None:
    """Nobody judged, and the answer says so."""
    done = indexed.run("search", "return goods", "--collection", "four", "--no-rerank", "--json")
    assert (done.json["judged_by"], done.json["ranked_by"]) == ("recall-order", "recall-order")
    assert [result["recall_rank"] for result in done.json["results"]] == [1, 2, 3, 4]
    assert {result["relevance"] for result in done.json["results"]} == {None}


def test_search_takes_a_filter(indexed: Command) -> None:
    """In OpenAI's grammar, over the documents' metadata; what is no filter is the command's fault."""
    done = indexed.run(
        "search", "return goods", "--collection", "four", "--no-rerank", "--json", "--explain",
        "--filter", '{"type": "in", "key": "lang", "value": ["zh", "ja"]}',
    )  # fmt: skip
    assert done.code == 0, done.err
    assert [result["document_id"] for result in done.json["results"]] == ["退货"]
    assert done.json["filtered"] == {"matching": 1, "of": 4, "way": "gathered"}
    for wrong, said in (("{", "--filter is not JSON"), ('{"type": "eq", "key": "k", "value": 1}', "attribute 'k'")):
        failed = indexed.run("search", "q", "--collection", "four", "--no-rerank", "--filter", wrong)
        assert failed.code == 2
        assert said in failed.err


def test_piped_results_are_lines_of_fields(indexed: Command) -> None:
    """For cut and awk: a header, then one line per result."""
    done = indexed.run("search", "heron", "--collection", "four")
    header, *rows = (line.split("\t") for line in done.out.splitlines())
    assert header == [
        "rank",
        "score",
        "relevance",
        "similarity",
        "document_id",
        "ordinal",
        "title",
        "text",
        "section",
        "location",
    ]
    assert {row[4] for row in rows} == {document["_id"] for document in DOCUMENTS}


def test_rerank_reads_lines_from_stdin(winnow: Command) -> None:
    """One text per line; the body is that of POST /v1/rerank."""
    done = winnow.run("rerank", "heron", "--json", "--top-n", "1", stdin="a heron\n\na contract\n")
    assert done.code == 0, done.err
    check_answer(RerankResponse, done.json)
    assert len(done.json["results"]) == 1


def test_eval_measures_both_stages(indexed: Command, corpus: Path, tmp_path: Path) -> None:
    """The fixed spelling; metrics are named as they were asked for; run files hold every document once."""
    done = indexed.run(
        "eval", str(corpus), "--data", str(indexed.data), "--collection", "four",
        "--metrics", "nDCG@10 R@100", "--output", str(tmp_path / "run"), "--json",
        "--per-query", str(tmp_path / "queries.jsonl"),
    )  # fmt: skip
    assert done.code == 0, done.err
    runs = {run["name"]: run["metrics"] for run in done.json["runs"]}
    assert list(runs) == ["recall", "two-stage", "rerank"]
    assert done.json["instruction"]["name"] == "default"
    assert [(each["run"], each["against"]) for each in done.json["comparisons"] if each["measure"] == "R@100"] == [
        ("two-stage", "recall"), ("rerank", "recall"), ("rerank", "two-stage"),
    ]  # fmt: skip
    assert all(set(metrics) == {"nDCG@10", "R@100"} for metrics in runs.values())
    assert runs["recall"]["R@100"] == runs["two-stage"]["R@100"] == 1.0
    lines = (tmp_path / "run.two-stage").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(set(lines)) == 8
    assert lines[0].split()[1] == "Q0"
    queries = [json.loads(line) for line in (tmp_path / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(queries) == done.json["queries"]
    for name, metrics in runs.items():
        for measure, mean in metrics.items():
            assert math.fsum(each["runs"][name][measure] for each in queries) / len(queries) == mean


def test_eval_measures_a_run_from_elsewhere(indexed: Command, corpus: Path, tmp_path: Path) -> None:
    """Its own run, written and read again, has the same figures; queries that it does not rank count as 0."""
    asked = ("eval", str(corpus), "--collection", "four", "--metrics", "nDCG@10 R@100", "--run", "recall", "--json")
    own = indexed.run(*asked, "--output", str(tmp_path / "run"))
    path = tmp_path / "run.recall"
    both = indexed.run(*asked, "--run-file", str(path))
    assert [run["name"] for run in both.json["runs"]] == ["recall", "winnow-recall"]
    assert both.json["runs"][1]["metrics"] == own.json["runs"][0]["metrics"]
    assert [(each["run"], each["p"]) for each in both.json["comparisons"]] == [("winnow-recall", 1.0)] * 2
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if line.startswith("q1 ")), encoding="utf-8")
    one = indexed.run(*asked, "--run-file", str(path))
    assert f"has no ranking for {own.json['queries'] - 1} of {own.json['queries']} queries" in one.err
    assert one.json["runs"][1]["metrics"]["R@100"] == pytest.approx(1 / own.json["queries"])
    path.write_text("q1 Q0 d1 1 high tag\n")
    refused = indexed.run(*asked, "--run-file", str(path))
    assert refused.code == 2
    assert f"{path}, line 1: the score 'high' is not a number" in refused.err


def test_eval_fails_where_a_figure_fell(indexed: Command, corpus: Path, tmp_path: Path) -> None:
    """Against its own figures it passes. Where each query had more, it exits with 1, and still writes and prints."""
    folder, before, now = shutil.copytree(corpus, tmp_path / "eight"), tmp_path / "before.jsonl", tmp_path / "now.jsonl"
    queries = [{"_id": f"e{number}", "text": f"return goods {number}"} for number in range(8)]
    (folder / "queries.jsonl").write_text("".join(json.dumps(each) + "\n" for each in queries), encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text("".join(f"e{number}\trefunds\t1\n" for number in range(8)))
    asked = ("eval", str(folder), "--data", str(tmp_path / "data"), "--metrics", "R@1", "--run", "recall", "--json")
    assert indexed.run(*asked, "--per-query", str(before)).code == 0
    same = indexed.run(*asked, "--against", str(before))
    assert same.code == 0, same.err
    assert "the smallest loss that so many queries show is about" in same.err
    lines = [json.loads(line) for line in before.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        line["runs"]["recall"]["R@1"] += 0.5
    before.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    worse = indexed.run(*asked, "--against", str(before), "--max-loss", "0.4", "--per-query", str(now))
    assert worse.code == 1
    assert "fell by more than 0.4, and not by chance (p < 0.05): recall R@1" in worse.err
    assert worse.json["queries"] == len(now.read_text(encoding="utf-8").splitlines()) == 8
    assert indexed.run(*asked, "--against", str(before), "--max-loss", "0.5").code == 0
    before.write_text(same.out, encoding="utf-8")
    refused = indexed.run(*asked, "--against", str(before))
    assert refused.code == 2
    assert "winnow eval --per-query FILE" in refused.err


def test_eval_measures_under_an_instruction(indexed: Command, corpus: Path) -> None:
    """A text, or one of the library; not both."""
    asked = ("eval", str(corpus), "--collection", "four", "--queries", "1", "--json")
    by_text = indexed.run(*asked, "--instruction", "Prefer policies.")
    assert by_text.code == 0, by_text.err
    assert by_text.json["instruction"]["source"] == "request"
    by_name = indexed.run(
        *asked, "--instruction-name", "builtin/support-language-first", "--variable", "language=Chinese"
    )
    assert by_name.json["instruction"]["name"] == "builtin/support-language-first"
    both = indexed.run(*asked, "--instruction", "x", "--instruction-name", "builtin/support-language-first")
    assert both.code == 2
    assert "cannot be used together" in both.err


def test_instructions_and_collections_are_kept(winnow: Command, corpus: Path) -> None:
    """Published, chosen for a collection, used by name; the collection goes for good."""
    assert winnow.run("index", str(corpus), "--collection", "docs").code == 0
    assert winnow.run("instructions", "publish", "house", "Prefer policies.", "--json").json["version"] == 1
    assert winnow.run("collections", "set-instruction", "docs", "house").code == 0
    shown = winnow.run("collections", "show", "docs", "--json").json
    assert (shown["documents"], shown["instruction"]) == (4, "house")
    assert shown["attributes"] == {"lang": "text"}
    assert "attribute lang\ttext" in winnow.run("collections", "show", "docs").out.splitlines()
    assert f"word rules\t{WORD_RULES}" in winnow.run("collections", "show", "docs").out.splitlines()
    used = winnow.run("search", "q", "--collection", "docs", "--json").json["instruction"]
    assert (used["name"], used["version"], used["source"]) == ("house", 1, "collection")
    assert winnow.run("collections", "delete", "docs", "--yes").code == 0
    assert winnow.run("collections", "list", "--json").json == {"collections": []}


def test_verify_finds_a_flipped_bit(winnow: Command, corpus: Path) -> None:
    """Exit 0 for what is as it was written, 1 and the place for what is not."""
    assert winnow.run("index", str(corpus), "--collection", "docs").code == 0
    sound = winnow.run("verify", "--data", str(winnow.data), "--json")
    assert (sound.code, sound.json["ok"]) == (0, True)
    vectors = next(winnow.data.glob("collections/default/docs/generations/*/vectors.sums"))
    content = bytearray(vectors.read_bytes())
    content[-1] ^= 1
    vectors.write_bytes(bytes(content))
    broken = winnow.run("verify", "--json")
    assert (broken.code, broken.json["ok"]) == (1, False)
    assert any("vectors.sums" in (check["fault"] or "") for check in broken.json["checks"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("search", "q", "--collection", "none"), "Collection not found: none"),
        (("search", "q", "--collection", "four", "--top-k", "0"), "'top_k': Input should be greater"),
        (("search", "q", "--collection", "four", "--embed-model", "no/such"), "The model is neither bundled"),
        (("index", "no-such-file", "--collection", "x"), "The corpus cannot be read"),
        (("eval", "no-such-folder"), "is not a BEIR folder"),
        (("serve", "--host", "0.0.0.0"), "there is no API key"),  # noqa: S104
        (("serve", "--port", "70000"), "--port = '70000': it must be between 0 and 65535"),
    ],
)
def test_mistakes_are_told_in_a_sentence(indexed: Command, arguments: tuple[str, ...], said: str) -> None:
    """Exit 2, nothing on stdout, the reason on stderr, no traceback."""
    done = indexed.run(*arguments, HF_HUB_OFFLINE="1")
    assert (done.code, done.out) == (2, ""), done.err
    assert said in done.err
    assert "Traceback" not in done.err


async def test_a_command_closes_what_it_opened_to_a_server(winnow: Command) -> None:
    """One that keeps its connections open, as vLLM does, and is no reranker: a sentence, exit 1, and no warning."""

    async def answer(_: Asked) -> ResponseModel:
        return ResponseModel({"object": "error"}, status=404)

    async with serving(answer) as loopback:
        arguments = ("rerank", "question", "text", "--rerank-url", loopback.url)
        done = await asyncio.to_thread(winnow.run, *arguments, PYTHONWARNINGS="error")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("winnow: The reranker cannot be reached")
    assert done.err.count("\n") == 1, done.err


def test_help_is_broken_at_the_terminals_width(winnow: Command) -> None:
    """And not where the source is: each paragraph is one."""
    shown = winnow.run("serve", "--help", COLUMNS="200").out
    assert "Set WINNOW_API_KEY, or create a key with 'winnow keys bootstrap', to listen elsewhere." in shown


def test_doctor_says_what_runs_where(indexed: Command, models: dict[str, str]) -> None:
    """With real models all is well; models of noise are found out."""
    done = indexed.run("doctor", "--json")
    found = {finding["what"]: finding for finding in done.json["findings"]}
    assert {"winnow", "packages", "faiss", "data", "embedder", "reranker"} <= set(found)
    assert "1 collection, 4 documents" in found["data"]["found"]
    assert done.code == (1 if models else 0), done.out
    check_answer(DoctorResponse, done.json)
    answers = done.json["model_answers"]
    assert [each["kind"] for each in answers] == ["embedder", "reranker"]
    assert [each["ok"] for each in answers] == [not models] * 2
    if not models:
        assert [each["model"] for each in answers] == ["winnow-embed", "winnow-rerank"]
        assert {answer["verdict"] for each in answers for answer in each["answers"]} == {"matches"}


def test_doctor_catches_a_model_that_is_not_what_it_seems(winnow: Command, tmp_path: Path) -> None:
    """It tells the pairs apart and gives other scores: exit 1, the figures side by side, and what to look at."""
    folder = tmp_path / "judge"
    shutil.copytree(bundled_model("reranker").path, folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] *= 1.5
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    done = winnow.run("doctor", "--rerank-model", str(folder))
    assert done.code == 1
    lines = [line.split("\t") for line in done.out.splitlines()]
    finding = next(line for line in lines if line[1] == "reranker's known answers")
    assert finding[0] == "✗"
    assert " of 8 within 0.001 of the figures of winnow-rerank (recognised by winnow.json); " in finding[2]
    assert " cpu, float32, " in finding[2]
    rows = [line for line in lines if len(line) == 9 and line[1] == "winnow-rerank"]
    assert len(rows) == 8
    verdicts = {(row[0], row[8]) for row in rows}
    assert ("✗", "differs") in verdicts
    assert verdicts <= {("✗", "differs"), ("✓", "far in log-odds"), ("✓", "matches")}
    assert all(abs(float(got) - float(expected) - float(apart)) < 2e-5 for *_, expected, got, apart, _, _ in rows)
    assert "winnow-rerank on cpu, likely causes:" in done.err
    assert "1. The order is right and the figures are not" in done.err
    assert "Weights: a quantised, merged or incomplete copy" in done.err
