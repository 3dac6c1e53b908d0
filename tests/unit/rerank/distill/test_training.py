"""A training that is killed goes on from its file, and ends where a whole one ends."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.tiny_models import TinyShape, write_reranker
from winnow.rerank.distill.training import Training, known_lessons, load_prompts, load_trainable
from winnow.retrieval.model.fine_tuning import Lesson
from winnow.retrieval.model.folder import ModelFolder, find_model
from winnow.retrieval.model.known_pairs import PAIRS, PairAnswer

STEPS = 6
PLENTY = 1_000.0  # seconds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    place = write_reranker(tmp_path_factory.mktemp("models") / "student", TinyShape(seed=1))
    return find_model(str(place), kind="reranker")


@pytest.fixture(scope="module")
def lessons(folder: ModelFolder) -> list[Lesson]:
    """The known pairs, which the teacher separates and the student does not."""
    learned = [PairAnswer(pair=pair, relevant=0.9, irrelevant=0.1) for pair in PAIRS]
    before = [PairAnswer(pair=pair, relevant=0.5, irrelevant=0.5) for pair in PAIRS]
    return known_lessons(load_prompts(folder), learned, before)


def weights_after(
    folder: ModelFolder, lessons: list[Lesson], file: Path, *, stop: int | None = None, seed: int = 5
) -> tuple[int, dict[str, torch.Tensor]]:
    """The step at which it began and the weights; with `stop` the process dies after as many further steps."""
    model = load_trainable(folder, device="cpu")
    training = Training.plan(model, lessons, file, seed=seed, steps=STEPS, seconds=PLENTY)
    began = training.step
    done = 0

    def advanced() -> None:
        nonlocal done
        done += 1
        if done == stop:
            training.save()  # as the clock may have it
        if stop is not None and done == stop + 1:
            raise KeyboardInterrupt

    if stop is None:
        training.run(seconds_max=PLENTY, advanced=advanced)
    else:
        with pytest.raises(KeyboardInterrupt):
            training.run(seconds_max=PLENTY, advanced=advanced)
    return began, model.weights


def test_it_goes_on_from_the_last_state(folder: ModelFolder, lessons: list[Lesson], tmp_path: Path) -> None:
    """To the bit; the step behind the last state is done again."""
    _, whole = weights_after(folder, lessons, tmp_path / "whole")
    weights_after(folder, lessons, tmp_path / "killed", stop=2)
    began, resumed = weights_after(folder, lessons, tmp_path / "killed")
    assert began == 2
    assert all(torch.equal(weight, resumed[name]) for name, weight in whole.items())
    assert weights_after(folder, lessons, tmp_path / "killed")[0] == STEPS


def test_another_seed_begins_again(folder: ModelFolder, lessons: list[Lesson], tmp_path: Path) -> None:
    weights_after(folder, lessons, tmp_path / "state", stop=2)
    assert weights_after(folder, lessons, tmp_path / "state", seed=6)[0] == 0


def test_the_number_of_steps_is_decided_once(folder: ModelFolder, lessons: list[Lesson], tmp_path: Path) -> None:
    """By the time that there was when it was planned: the rate of each step depends on it."""
    plan = Training.plan
    first = plan(load_trainable(folder, device="cpu"), lessons, tmp_path / "s", seed=1, steps=None, seconds=PLENTY)
    assert first.steps == 6  # six readings of four lessons, four in a step
    again = plan(load_trainable(folder, device="cpu"), lessons, tmp_path / "s", seed=1, steps=None, seconds=1e-9)
    assert again.steps == 6
    short = plan(load_trainable(folder, device="cpu"), lessons, tmp_path / "t", seed=1, steps=None, seconds=1e-9)
    assert short.steps == 1


def test_it_ends_when_the_time_is_used_up(folder: ModelFolder, lessons: list[Lesson], tmp_path: Path) -> None:
    training = Training.plan(
        load_trainable(folder, device="cpu"), lessons, tmp_path / "s", seed=1, steps=STEPS, seconds=PLENTY
    )
    training.run(seconds_max=0.0, advanced=lambda: None)
    assert training.step == 0


def test_a_pair_that_the_teacher_does_not_know_is_kept_as_it_was(folder: ModelFolder) -> None:
    """A teacher of one language says nothing about the pairs of another."""
    learned = [PairAnswer(pair=PAIRS[0], relevant=0.4, irrelevant=0.4)]
    stock = [PairAnswer(pair=PAIRS[0], relevant=0.8, irrelevant=0.3)]
    (lesson,) = known_lessons(load_prompts(folder), learned, stock)
    assert lesson.teacher == lesson.before
