"""Two real rerankers over one corpus, each judging the collection that has chosen it."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from tests.acceptance.conftest import Command, command_in
from tests.acceptance.test_http import Service
from tests.tiny_foreign_models import write_bert
from tests.tiny_models import TinyShape, write_reranker

pytestmark = pytest.mark.acceptance

OTHER = "other-rerank"
QUERY = "return goods bought online"
JUDGED = ("--always-rerank",)  # the bundled reranker is not run where its relevance has no weight


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A second reranker, of noise: what counts here is who judged."""
    folder = write_reranker(tmp_path_factory.mktemp("models") / "other", TinyShape(seed=7))
    described = json.loads((folder / "winnow.json").read_text("utf-8"))
    (folder / "winnow.json").write_text(json.dumps(described | {"name": OTHER}), "utf-8")
    return str(folder)


@pytest.fixture(scope="module")
def indexed_twice(
    tmp_path_factory: pytest.TempPathFactory, models: dict[str, str], corpus: Path, other_folder: str
) -> Path:
    """A data folder with the corpus in two collections, of which `special` has chosen the other reranker."""
    command = command_in(tmp_path_factory.mktemp("twice") / "data", models)
    for arguments in (("plain",), ("special", "--reranker", OTHER, "--rerank-also", other_folder)):
        done = command.run("index", str(corpus), "--collection", *arguments)
        assert done.code == 0, done.err
    return command.data


@pytest.fixture
def without_other(winnow: Command, indexed_twice: Path) -> Command:
    """With a copy of it, and the other reranker configured no longer."""
    shutil.copytree(indexed_twice, winnow.data)
    return winnow


@pytest.fixture
def both(without_other: Command, other_folder: str) -> Command:
    """With both rerankers configured."""
    environment = without_other.environment | {"WINNOW_RERANK_ALSO": other_folder}
    return replace(without_other, environment=environment)


def test_each_collection_is_judged_by_its_own_reranker(both: Command) -> None:
    """From the command line: searched, shown, chosen anew, refused by name."""
    found = {
        name: both.run("search", QUERY, "--collection", name, *JUDGED, "--json").json for name in ("plain", "special")
    }
    default = found["plain"]["judged_by"]
    assert (found["special"]["judged_by"], found["special"]["degraded"]) == (OTHER, None)
    assert default not in {OTHER, "recall-order"}
    relevances = {
        name: {each["document_id"]: each["relevance"] for each in body["results"]} for name, body in found.items()
    }
    assert relevances["plain"].keys() == relevances["special"].keys()
    assert all(relevances["plain"][name] != relevances["special"][name] for name in relevances["plain"])
    listed = both.run("collections", "list", "--json").json["collections"]
    assert {each["name"]: each["reranker"] for each in listed} == {"plain": None, "special": OTHER}
    refused = both.run("collections", "set-reranker", "plain", "none")
    assert refused.code == 2
    assert f"the reranker 'none' is not configured; configured are: {default}, {OTHER}" in refused.err
    assert both.run("collections", "set-reranker", "special", "--json").json == {
        "collection": "special",
        "reranker": None,
    }
    assert both.run("search", QUERY, "--collection", "special", *JUDGED, "--json").json["judged_by"] == default
    judged = both.run("rerank", QUERY, "a heron", "a contract", "--reranker", OTHER, "--json")
    assert judged.json["model"] == OTHER, judged.err


def test_a_corpus_is_not_indexed_under_another_choice_than_its_collection_has(both: Command, corpus: Path) -> None:
    """A run does not change by the way how searches are judged; the message says what does."""
    refused = both.run("index", str(corpus), "--collection", "plain", "--reranker", OTHER)
    assert refused.code == 2
    assert f"winnow collections set-reranker plain {OTHER}" in refused.err
    assert both.run("index", str(corpus), "--collection", "special", "--reranker", OTHER).code == 0


def test_eval_measures_what_the_service_answers_with(both: Command, without_other: Command, corpus: Path) -> None:
    """By the chosen reranker; where that is missing there is nothing to measure."""
    measured = both.run("eval", str(corpus), "--collection", "special", "--json")
    assert measured.json["reranker"] == OTHER, measured.err
    refused = without_other.run("eval", str(corpus), "--collection", "special", "--json")
    assert (refused.code, refused.out) == (1, "")
    assert f"has chosen {OTHER}" in refused.err


def test_a_missing_choice_is_searched_in_recalls_order_and_named(without_other: Command) -> None:
    """Exit 0, since there is an answer; the body says that nobody judged, stderr says who is missing."""
    done = without_other.run("search", QUERY, "--collection", "special", "--json")
    assert (done.code, done.json["judged_by"]) == (0, "recall-order")
    assert done.json["degraded"] == {"stage": "rerank", "reason": "unavailable"}
    assert f"has chosen {OTHER}" in done.err


def test_a_service_judges_with_both_and_follows_a_change(both: Command) -> None:
    """In one process, without a restart; doctor and /readyz tell that the second one is noise."""
    service = Service(both.start("serve", "--port", "0"))
    try:
        with httpx2.Client(base_url=service.url, timeout=60) as client:
            ready = client.get("/readyz").json()
            default = ready["models"]["reranker"]
            assert ready["models"]["rerankers"] == [default, OTHER]
            assert any(problem.startswith(OTHER) for problem in ready["problems"])

            def judge_of(collection: str) -> str:
                asked = {"query": QUERY, "collection": collection, "rerank": "always"}
                return str(client.post("/v1/search", json=asked).json()["judged_by"])

            assert (judge_of("plain"), judge_of("special")) == (default, OTHER)
            assert client.patch("/v1/collections/plain", json={"reranker": OTHER}).status_code == 200
            assert both.run("collections", "set-reranker", "special").code == 0
            assert (judge_of("plain"), judge_of("special")) == (OTHER, default)
            body = {"query": QUERY, "documents": ["a heron", "a contract"]}
            assert client.post("/v1/rerank", json=body | {"model": OTHER}).json()["model"] == OTHER
            assert client.post("/v1/rerank", json=body | {"model": "other"}).json()["model"] == default
        assert service.stop(signal.SIGINT)[0] == 0
    finally:
        service.process.kill()
        service.process.communicate()
    examined = both.run("doctor", "--json")
    found = {finding["what"]: finding for finding in examined.json["findings"]}
    assert found["rerankers"]["found"] == f"{default}, {OTHER}; the first is the default"
    folder = both.environment["WINNOW_RERANK_ALSO"]
    assert found[f"reranker {folder}"]["found"].startswith(OTHER)
    assert f"{OTHER} did not separate" in found[f"reranker {folder}'s known pair"]["problem"]
    assert examined.code == 1


def test_three_rerankers_are_measured_in_one_run(
    without_other: Command, other_folder: str, corpus: Path, models: dict[str, str], tmp_path: Path
) -> None:
    """The default, one of noise, and a cross-encoder, whose name is its folder's; a row for each, over one recall."""
    bert = write_bert(tmp_path / "pairs")
    default = without_other.run("search", QUERY, "--collection", "plain", *JUDGED, "--json").json["judged_by"]
    names = (default, OTHER, "pairs")
    chosen = [each for name in names for each in ("--reranker", name)]
    arguments = ("eval", str(corpus), "--collection", "plain", "--rerank-also", f"{other_folder} {bert}", *chosen)
    done = without_other.run(*arguments, "--metrics", "nDCG@3", "--output", str(tmp_path / "runs"), "--json")
    assert done.code == 0, done.err
    assert done.json["rerankers"] == list(names)
    orders = [(f"{order}-{name}", name) for name in names for order in ("two-stage", "rerank")]
    assert [(each["name"], each["reranker"]) for each in done.json["runs"]] == [("recall", None), *orders]
    read = {each["reranker"] for each in done.json["runs"] if each["instruction_applied"]}
    assert read == {default, OTHER}, "the cross-encoder reads no instruction, and recall neither"
    assert (tmp_path / "runs.rerank-pairs").is_file()
    unknown = without_other.run(*arguments, "--reranker", "nobody")
    assert (unknown.code, "the reranker 'nobody' is not configured" in unknown.err) == (2, True)
