"""Trains a small reranker on a teacher's scores, within a number of steps and of seconds, saved and resumed.

The state on the disk belongs to its lessons: where scores, candidates or the seed differ, training begins again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from winnow.rerank.distill.scoring import Question, Scoring
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.prompt import NO, YES, PromptBuilder
from winnow.rerank.relevance import logit_of
from winnow.retrieval.files.durable import DISK, Syncer, remove, write_file
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.fine_tuning import FineTuning, Lesson, Recipe, read_state
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.known_pairs import PairAnswer
from winnow.retrieval.model.runtime import parse_device
from winnow.retrieval.model.tokenizer import ScaffoldTokenizer
from winnow.retrieval.model.trainable import TrainableQwen

PROMPT_TOKENS_MAX: Final = 1_024  # tokens; passages are cut to it in training only, which bounds a step's memory
EPOCHS: Final = 6  # times that training reads each query, unless steps or seconds say otherwise
SAVE_SECONDS: Final = 15.0  # between two states; a killed run loses at most that much
SHARE_OF_TIME: Final = 0.9  # of the time that is left, for a planned number of steps


def load_trainable(folder: ModelFolder, *, device: str | None) -> TrainableQwen:
    """Load a model for training. Raises `ModelUnusable`, `SettingInvalid`."""
    scaffold = ScaffoldTokenizer.load(folder.path)
    return TrainableQwen(folder.path, yes=scaffold.token_id(YES), no=scaffold.token_id(NO), device=parse_device(device))


def load_prompts(folder: ModelFolder) -> PromptBuilder:
    """The student's prompts, bounded for training. Raises `ModelUnusable`."""
    tokens_max = min(PROMPT_TOKENS_MAX, QwenConfig.read(folder.path).window(folder.settings.max_tokens))
    return PromptBuilder.load(folder.path, tokens_max=tokens_max)


def make_lesson(
    prompts: PromptBuilder, question: Question, *, instruction: str, teacher: Scoring, before: Scoring
) -> Lesson:
    """What the student reads of one query, and what it is to say."""
    heads = prompts.heads([each.fields for each in question.candidates])
    passages = [head + each.chunk.passage for head, each in zip(heads, question.candidates, strict=True)]
    built = prompts.build(question.text, passages, instruction)
    return Lesson(
        shared=built.shared,
        tails=built.tails,
        teacher=tuple(teacher.logits(question)),
        before=tuple(before.logits(question)),
    )


def known_lessons(prompts: PromptBuilder, teacher: Sequence[PairAnswer], before: Sequence[PairAnswer]) -> list[Lesson]:
    """The known pairs, which every loader asks for, under the default instruction.

    Of a pair that the teacher does not separate, the student keeps its own scores.
    """
    lessons = []
    for learned, stock in zip(teacher, before, strict=True):
        pair, wanted = learned.pair, learned if learned.is_separated else stock
        built = prompts.build(pair.query, [pair.relevant, pair.irrelevant], DEFAULT_INSTRUCTION)
        lessons.append(
            Lesson(
                shared=built.shared,
                tails=built.tails,
                teacher=(logit_of(wanted.relevant), logit_of(wanted.irrelevant)),
                before=(logit_of(stock.relevant), logit_of(stock.irrelevant)),
            )
        )
    return lessons


class Training:
    """A training run whose state lies in a file."""

    def __init__(self, tuning: FineTuning, path: Path, syncer: Syncer) -> None:
        self._tuning = tuning
        self._path = path
        self._syncer = syncer

    @classmethod
    def plan(
        cls,
        model: TrainableQwen,
        lessons: Sequence[Lesson],
        path: Path,
        *,
        always: Sequence[Lesson] = (),
        seed: int,
        steps: int | None,
        seconds: float,
        syncer: Syncer = DISK,
    ) -> Training:
        """Resume the run in `path`, or plan a new one that ends after `steps`, or else in about `seconds`."""
        recipe = Recipe(steps=1 if steps is None else steps, seed=seed)
        tuning = FineTuning(model, lessons, recipe, always=always)
        if path.exists():
            state = read_state(path.read_bytes())
            if state["lessons"] == tuning.digest and steps in {None, state["steps"]}:
                tuning.resume(state)
                return cls(tuning, path, syncer)
            remove(path)
        if steps is None:
            usual = max(1, EPOCHS * len(lessons) // recipe.lessons_per_step)
            possible = int(SHARE_OF_TIME * seconds / tuning.seconds_per_step())
            tuning.recipe = replace(recipe, steps=max(1, min(usual, possible)))
        training = cls(tuning, path, syncer)
        training.save()  # the number of steps is decided once
        return training

    @property
    def steps(self) -> int:
        """The planned number."""
        return self._tuning.recipe.steps

    @property
    def step(self) -> int:
        return self._tuning.step

    @property
    def seconds(self) -> float:
        """Used so far, also by earlier processes."""
        return self._tuning.seconds

    def run(self, *, seconds_max: float, advanced: Callable[[], None]) -> None:
        """Train to the last step, or until the time is used up, and save the state."""
        began = saved = time.monotonic()
        before = self._tuning.seconds
        while not self._tuning.is_done and time.monotonic() - began < seconds_max:
            self._tuning.advance()
            self._tuning.seconds = before + time.monotonic() - began
            advanced()
            if time.monotonic() - saved >= SAVE_SECONDS:
                self.save()
                saved = time.monotonic()
        self.save()

    def save(self) -> None:
        """Raises `WriteFailed`."""
        write_file(self._path, self._tuning.state(), syncer=self._syncer)
