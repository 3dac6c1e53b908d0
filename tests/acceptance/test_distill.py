"""`winnow distill` brings a damaged student back to its teacher, offers it, and offers nothing that is no better."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path
from statistics import fmean

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.acceptance.conftest import PROJECT, Command, command_in
from tests.real_models import bundled_model
from winnow.rerank.distill.comparison import best_first, ndcg
from winnow.rerank.distill.training import load_trainable
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.prompt import PromptBuilder, Prompts
from winnow.rerank.relevance import relevance_of
from winnow.retrieval.model.folder import find_model

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]
QUERIES = 100  # of which 30 are held back
CANDIDATES = 8
STEPS = 24
DAMAGED = 0.85  # agreement of the student with its teacher, at most; nDCG over passages drawn at random


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of short documents, its queries, and a student whose weights are disturbed."""
    folder = tmp_path_factory.mktemp("distill")
    stock = bundled_model("reranker").path
    corpus = (PROJECT / "data" / "corpus" / "corpus.jsonl").read_text(encoding="utf-8")
    documents = [json.loads(line) for line in corpus.splitlines()]
    texts = [f"{each['title']}: {each['text'][:100]}" for each in documents]
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as file:
        for each, text in zip(documents, texts, strict=True):
            file.write(json.dumps({"id": each["_id"], "text": text}) + "\n")
    queries = (PROJECT / "data" / "corpus" / "queries.jsonl").read_text(encoding="utf-8").splitlines()[:QUERIES]
    (folder / "queries.jsonl").write_text("\n".join(queries), encoding="utf-8")
    write_disturbed(stock, folder / "student", [json.loads(each)["text"] for each in queries[:12]], texts)
    done = command_in(folder / "data", {}).run("index", str(folder / "corpus.jsonl"), "--collection", "short")
    assert done.code == 0, done.err
    return folder


def write_disturbed(stock: Path, student: Path, queries: list[str], texts: list[str]) -> None:
    """As much noise in the last layer as it takes, which a few steps can mend. It ranks by relevance alone."""
    shutil.copytree(stock, student)
    settings = {"kind": "reranker", "name": "disturbed", "max_tokens": 8192}
    (student / "winnow.json").write_text(json.dumps(settings), encoding="utf-8")
    builder = PromptBuilder.load(stock, tokens_max=512)
    drawn = random.Random(1)
    asked = [builder.build(query, drawn.sample(texts, 2 * CANDIDATES), DEFAULT_INSTRUCTION) for query in queries]
    teacher = scores_of(stock, asked)
    for noise in (1.0, 2.0, 3.0, 4.0, 6.0):
        weights = load_file(stock / "model.safetensors")
        torch.manual_seed(1)
        last = max(name.split(".")[2] for name in weights if ".layers." in name)
        for name in (name for name in weights if f".layers.{last}." in name and "_proj" in name):
            wide = weights[name].float()
            weights[name] = (wide + noise * wide.std() * torch.randn_like(wide)).to(weights[name].dtype)
        save_file(weights, student / "model.safetensors", metadata={"format": "pt"})
        pairs = zip(scores_of(student, asked), teacher, strict=True)
        if fmean(ndcg(best_first(found), list(map(relevance_of, wanted))) for found, wanted in pairs) < DAMAGED:
            return
    pytest.fail("no noise damaged the student")


def scores_of(folder: Path, asked: list[Prompts]) -> list[list[float]]:
    model = load_trainable(find_model(str(folder), kind="reranker"), device="cpu")
    with torch.no_grad():
        return [model.logits(each.shared, each.tails).tolist() for each in asked]


def arguments(place: Path, output: Path, *, student: str, steps: int) -> tuple[str, ...]:
    words = f"distill short --teacher winnow-rerank --student {student} --candidates {CANDIDATES} --yes --json"
    files = ("--queries", str(place / "queries.jsonl"), "--output", str(output))
    return (*words.split(), "--steps", str(steps), *files)


def test_a_killed_run_goes_on_and_its_better_student_is_offered(place: Path, tmp_path: Path) -> None:
    """Nothing is scored twice. That the weights are those of a whole run is tested beside the training itself."""
    winnow, output = command_in(place / "data", {}), tmp_path / "short-rerank"
    words = arguments(place, output, student=str(place / "student"), steps=STEPS)
    killed = winnow.start(*words)
    end = time.monotonic() + 200
    while not (output.with_name("short-rerank.work") / "training").exists():
        assert killed.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    killed.kill()
    killed.communicate()
    assert not output.exists()

    done = winnow.run(*words)
    assert done.code == 0, done.err + done.out
    assert done.json["scored_pairs"] == 0
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


def test_a_student_that_cannot_be_trained_is_refused(place: Path, tmp_path: Path) -> None:
    """Before any model is loaded: a classifier has another head."""
    shutil.copytree(place / "student", tmp_path / "classifier")
    file = tmp_path / "classifier" / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(config | {"architectures": ["Qwen3ForSequenceClassification"]}), encoding="utf-8")
    done = command_in(place / "data", {}).run(
        *arguments(place, tmp_path / "out", student=str(tmp_path / "classifier"), steps=2)
    )
    assert done.code == 2
    assert "can be trained" in done.err
