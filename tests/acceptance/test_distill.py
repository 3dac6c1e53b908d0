"""`winnow distill` brings a damaged student back to its teacher, offers it, and offers nothing that is no better."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.acceptance.conftest import PROJECT, Command, command_in
from tests.real_models import bundled_model

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]
NOISE = 0.35  # standard deviations of each matrix
QUERIES = 120  # of which 36 are held back
STEPS = 16


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of short documents, its queries, and a student whose weights are disturbed."""
    folder = tmp_path_factory.mktemp("distill")
    stock = bundled_model("reranker").path
    corpus = (PROJECT / "data" / "corpus" / "corpus.jsonl").read_text(encoding="utf-8")
    documents = [json.loads(line) for line in corpus.splitlines()]
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as file:
        for each in documents:
            file.write(json.dumps({"id": each["_id"], "title": each["title"], "text": each["text"][:100]}) + "\n")
    queries = (PROJECT / "data" / "corpus" / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    (folder / "queries.jsonl").write_text("\n".join(queries[:QUERIES]), encoding="utf-8")
    shutil.copytree(stock, folder / "student")
    weights = load_file(stock / "model.safetensors")
    torch.manual_seed(1)
    for name in (name for name in weights if "_proj" in name):
        wide = weights[name].float()
        weights[name] = (wide + NOISE * wide.std() * torch.randn_like(wide)).to(weights[name].dtype)
    save_file(weights, folder / "student" / "model.safetensors", metadata={"format": "pt"})
    settings = json.loads((stock / "winnow.json").read_text(encoding="utf-8"))
    settings = {"kind": settings["kind"], "name": "disturbed", "max_tokens": 8192, "order": settings.get("order")}
    (folder / "student" / "winnow.json").write_text(json.dumps(settings), encoding="utf-8")
    done = command_in(folder / "data", {}).run("index", str(folder / "corpus.jsonl"), "--collection", "short")
    assert done.code == 0, done.err
    return folder


def arguments(place: Path, output: Path, *, student: str, steps: int) -> tuple[str, ...]:
    words = f"distill short --teacher winnow-rerank --student {student} --candidates 8 --steps {steps} --yes --json"
    return (*words.split(), "--queries", str(place / "queries.jsonl"), "--output", str(output))


def test_a_killed_run_goes_on_and_its_better_student_is_offered(place: Path, tmp_path: Path) -> None:
    """Nothing is scored twice, and the weights are those of a run that was not killed."""
    winnow = command_in(place / "data", {})
    whole, output = tmp_path / "whole", tmp_path / "short-rerank"
    first = winnow.run(*arguments(place, whole, student=str(place / "student"), steps=STEPS))
    assert first.code == 0, first.err + first.out
    words = arguments(place, output, student=str(place / "student"), steps=STEPS)
    killed = winnow.start(*words)
    end = time.monotonic() + 120
    while not (output.with_name("short-rerank.work") / "training").exists():
        assert killed.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    killed.kill()
    killed.communicate()
    assert not output.exists()

    done = winnow.run(*words)
    assert done.code == 0, done.err + done.out
    assert first.json["scored_pairs"] > 0
    assert done.json["scored_pairs"] == 0
    one, other = load_file(whole / "model.safetensors"), load_file(output / "model.safetensors")
    assert one.keys() == other.keys()
    assert max(float((one[name].float() - other[name].float()).abs().max()) for name in one) < 0.02
    _is_better(done.json)
    _is_usable(winnow, output, done.json)


def _is_better(body: dict) -> None:
    by = {each["measure"]: each for each in body["differences"]}
    assert body["offered"]
    for measure in ("as_answered", "by_relevance"):
        assert by[measure]["low"] > 0
        assert by[measure]["p"] < 0.05
    assert body["steps"] == STEPS
    assert sum(body["queries"][part] for part in ("training", "development", "held_back")) == QUERIES


def _is_usable(winnow: Command, output: Path, body: dict) -> None:
    """The card says where it comes from, in no words of the queries; a collection can choose it."""
    card = (output / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "winnow-rerank" in card
    assert "| short |" in card
    assert len(json.loads((output / "winnow.json").read_text(encoding="utf-8"))["known_answers"]) == 4
    assert body["use"][0] == f"export WINNOW_RERANK_ALSO={output}"
    chosen = winnow.run(*body["use"][1].split()[1:], WINNOW_RERANK_ALSO=str(output))
    assert chosen.code == 0, chosen.err
    query = ("search", "how do I return goods", "--collection", "short", "--json")
    found = winnow.run(*query, WINNOW_RERANK_ALSO=str(output))
    assert found.code == 0, found.err
    assert found.json["judged_by"] == "short-rerank"


def test_a_student_that_is_its_teacher_gains_nothing(place: Path, tmp_path: Path) -> None:
    """Exit code 1, the reason, and no folder."""
    done = command_in(place / "data", {}).run(*arguments(place, tmp_path / "same", student="winnow-rerank", steps=2))
    assert done.code == 1, done.err
    assert not done.json["offered"]
    assert done.json["output"] is None
    assert done.json["use"] == []
    assert "significantly" in done.json["reason"]
    assert not (tmp_path / "same").exists()


def test_too_few_queries_are_refused_before_anything_is_scored(place: Path, tmp_path: Path) -> None:
    (tmp_path / "few.tsv").write_text("1\tone\n2\ttwo\n", encoding="utf-8")
    done = command_in(place / "data", {}).run(
        "distill", "short", "--teacher", "winnow-rerank", "--queries", str(tmp_path / "few.tsv"), "--yes",
        "--output", str(tmp_path / "few"),
    )  # fmt: skip
    assert done.code == 2
    assert "at least 40" in done.err
