"""The network that is trained is the network that is served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.tiny_models import TinyShape, write_reranker
from winnow.rerank.prompt import NO, YES, PromptBuilder, Prompts
from winnow.rerank.torch_reranker import TorchScorer
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.model.fine_tuning import FineTuning, Lesson, Recipe, read_state
from winnow.retrieval.model.folder import find_model
from winnow.retrieval.model.tokenizer import ScaffoldTokenizer
from winnow.retrieval.model.trainable import TrainableQwen

PASSAGES = (
    "a refund within seven days",
    "the index is built from vectors",
    "x",
    "消费者自收到商品之日起七日内有权退货",
)
CPU = torch.device("cpu")


def trainable(folder: Path) -> TrainableQwen:
    scaffold = ScaffoldTokenizer.load(folder)
    return TrainableQwen(folder, yes=scaffold.token_id(YES), no=scaffold.token_id(NO), device=CPU)


def prompts(folder: Path) -> Prompts:
    return PromptBuilder.load(folder, tokens_max=512).build("may a tenant ask for a refund", PASSAGES, "find it")


async def served(folder: Path) -> list[float]:
    scorer = TorchScorer.load(find_model(str(folder), kind="reranker"), device="cpu", dtype="float32")
    return list(await scorer.logits(prompts(folder), tenant="a", deadline=Deadline.never()))


def scores(model: TrainableQwen, asked: Prompts) -> list[float]:
    with torch.no_grad():
        return [float(logit) for logit in model.logits(asked.shared, asked.tails)]


@pytest.mark.parametrize(
    "shape", [TinyShape(tied=tied, layers=layers, seed=7) for tied in (True, False) for layers in (1, 3)], ids=str
)
async def test_it_scores_as_the_runtime_does(tmp_path: Path, shape: TinyShape) -> None:
    """Tied and untied heads, shared key heads, passages of different lengths."""
    folder = write_reranker(tmp_path / "m", shape)
    assert scores(trainable(folder), prompts(folder)) == pytest.approx(await served(folder), abs=2e-4)


async def test_a_saved_model_scores_as_it_was_trained(tmp_path: Path) -> None:
    """Every tensor is in the file; those of the vocabulary are untouched."""
    folder = write_reranker(tmp_path / "m")
    model = trainable(folder)
    with torch.no_grad():
        for weight in model.weights.values():
            weight.mul_(1.1)
    wanted = scores(model, prompts(folder))
    model.save(tmp_path / "trained")
    before, after = load_file(folder / "model.safetensors"), load_file(tmp_path / "trained")
    assert before.keys() == after.keys()
    assert {name for name in before if torch.equal(before[name], after[name])} == {"model.embed_tokens.weight"}
    (tmp_path / "trained").replace(folder / "model.safetensors")
    assert await served(folder) == pytest.approx(wanted, abs=2e-4)


def lessons(folder: Path, teacher: TrainableQwen) -> list[Lesson]:
    builder = PromptBuilder.load(folder, tokens_max=512)
    found = []
    for number in range(6):
        built = builder.build(f"question {number} about refunds", [f"{each} {number}" for each in PASSAGES], "find")
        before = scores(trainable(folder), built)
        found.append(
            Lesson(shared=built.shared, tails=built.tails, teacher=tuple(scores(teacher, built)), before=tuple(before))
        )
    return found


def run(model: TrainableQwen, learned: list[Lesson], steps: int, *, stop: int | None = None) -> FineTuning:
    tuning = FineTuning(model, learned, Recipe(steps=steps, seed=3, lessons_per_step=2, candidates=3, rate=3e-3))
    while not tuning.is_done and tuning.step != stop:
        tuning.advance()
    return tuning


def test_a_student_learns_the_order_of_its_teacher(tmp_path: Path) -> None:
    """From random weights to the order of other random weights."""
    folder = write_reranker(tmp_path / "student", TinyShape(seed=1))
    teacher = trainable(write_reranker(tmp_path / "teacher", TinyShape(seed=2)))
    model = trainable(folder)
    learned = lessons(folder, teacher)

    def distance() -> float:
        found = []
        for lesson in learned:
            row = np.array(scores(model, Prompts(shared=lesson.shared, tails=lesson.tails, truncated=())))
            wanted = np.array(lesson.teacher)
            found.append(np.abs((row - row.mean()) - (wanted - wanted.mean())).mean())
        return float(np.mean(found))

    before = distance()
    run(model, learned, 60)
    assert distance() < before / 3


def test_a_run_that_is_cut_off_ends_where_the_whole_one_ends(tmp_path: Path) -> None:
    """To the bit, whatever the process that goes on was told of the number of steps."""
    folder = write_reranker(tmp_path / "student", TinyShape(seed=1))
    learned = lessons(folder, trainable(write_reranker(tmp_path / "teacher", TinyShape(seed=2))))
    whole, first, second = (trainable(folder) for _ in range(3))
    run(whole, learned, 7)
    content = run(first, learned, 7, stop=4).state()
    again = FineTuning(second, learned, Recipe(steps=1, seed=3, lessons_per_step=2, candidates=3, rate=3e-3))
    again.resume(read_state(content))
    while not again.is_done:
        again.advance()
    assert again.step == 7
    for name, weight in whole.weights.items():
        assert torch.equal(weight, second.weights[name])


def test_a_state_is_only_of_its_lessons(tmp_path: Path) -> None:
    folder = write_reranker(tmp_path / "student", TinyShape(seed=1))
    learned = lessons(folder, trainable(write_reranker(tmp_path / "teacher", TinyShape(seed=2))))
    digests = {
        FineTuning(trainable(folder), each, Recipe(steps=steps, seed=seed)).digest
        for each, steps, seed in (
            (learned, 3, 1),
            (learned, 4, 1),  # the number of steps is the state's own
            (learned, 3, 2),
            (learned[1:], 3, 1),
            ([replace(learned[0], teacher=(0.0,) * len(PASSAGES)), *learned[1:]], 3, 1),
        )
    }
    assert len(digests) == 4


def test_measuring_a_step_changes_nothing(tmp_path: Path) -> None:
    folder = write_reranker(tmp_path / "student", TinyShape(seed=1))
    learned = lessons(folder, trainable(write_reranker(tmp_path / "teacher", TinyShape(seed=2))))
    model, untouched = trainable(folder), trainable(folder)
    tuning = FineTuning(model, learned, Recipe(steps=3, seed=3))
    assert tuning.seconds_per_step() > 0
    assert tuning.step == 0
    assert all(torch.equal(weight, untouched.weights[name]) for name, weight in model.weights.items())
