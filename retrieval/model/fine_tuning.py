"""Teaches a small model the scores of another one: lists of candidates, one optimiser, a state that resumes.

The loss of a list is the KL divergence from the teacher's softmax over its candidates to the model's. Two pulls keep
the model near what it was: its mean score of a list near the mean score before, and after each step its weights a
little nearer to the weights before.

Rule 1: which candidates a step reads follows from the seed and the step's number alone. So a run that is killed and
resumed ends where an uninterrupted one ends.
Rule 2: the number of steps is fixed when the run is planned, since the rate depends on it.
"""

from __future__ import annotations

import hashlib
import io
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from winnow.retrieval.model.trainable import TrainableQwen

LOGIT_MAX: Final = 12.0  # a surer teacher says nothing more about the order
WARM_UP: Final = 0.05  # share of the steps in which the rate rises
NORM_MAX: Final = 1.0  # of a step's gradient


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One query: its prompts, and the logits that two models gave them."""

    shared: tuple[int, ...]
    tails: tuple[tuple[int, ...], ...]
    teacher: tuple[float, ...]
    before: tuple[float, ...]  # of the trained model, before training


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a model is trained."""

    steps: int
    seed: int
    lessons_per_step: int = 4
    candidates: int = 12  # of a lesson in one step: the teacher's best third, and others at random
    rate: float = 3e-4  # highest learning rate
    score_pull: float = 0.02  # weight of the squared difference of mean scores
    weight_pull: float = 0.05  # share of the rate by which weights go back in a step


class FineTuning:
    """A training run."""

    def __init__(
        self, model: TrainableQwen, lessons: Sequence[Lesson], recipe: Recipe, *, always: Sequence[Lesson] = ()
    ) -> None:
        """Of `always`, each step reads one with its lessons: what must not be forgotten."""
        assert lessons, "a run without lessons teaches nothing. This is a bug."
        self.step = 0
        self.seconds = 0.0  # used so far, by earlier processes too; kept by the caller
        self.digest = _digest((*lessons, *always), recipe)  # states are only for the same lessons and seed
        self._model = model
        self._lessons = lessons
        self._always = always
        self.recipe = recipe
        self._weights = list(model.weights.values())
        self._before = [weight.detach().clone() for weight in self._weights]
        self._optimizer = torch.optim.AdamW(self._weights, lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.0)

    @property
    def is_done(self) -> bool:
        return self.step >= self.recipe.steps

    def advance(self) -> float:
        """Do one step. Returns its loss."""
        loss = self.measure()
        torch.nn.utils.clip_grad_norm_(self._weights, NORM_MAX)
        rate = self.recipe.rate * self._share_of_rate()
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        with torch.no_grad():
            torch._foreach_lerp_(self._weights, self._before, rate * self.recipe.weight_pull)
        self.step += 1
        return loss

    def measure(self) -> float:
        """Compute the loss of the next step and its gradients, and change nothing."""
        self._optimizer.zero_grad()
        total = 0.0
        chosen = self._next_lessons()
        for lesson, places in chosen:
            loss = self._loss(lesson, places) / len(chosen)
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        return total

    def seconds_per_step(self) -> float:
        """Measure what one step takes, and change nothing."""
        self.measure()  # the first allocates
        began = time.monotonic()
        self.measure()
        if self._model.device.type == "cuda":
            torch.cuda.synchronize()
        self._optimizer.zero_grad()
        return max(1e-4, time.monotonic() - began)

    def state(self) -> bytes:
        """Everything that a later process needs to go on."""
        file = io.BytesIO()
        weights = {name: weight.detach().cpu() for name, weight in self._model.weights.items()}
        state = {"weights": weights, "optimizer": self._optimizer.state_dict(), "step": self.step}
        planned = {"steps": self.recipe.steps, "lessons": self.digest, "seconds": self.seconds}
        torch.save(state | planned, file)
        return file.getvalue()

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state of `read_state`, whose digest must be this run's, towards the steps it was planned for."""
        assert state["lessons"] == self.digest, "a state belongs to its lessons. This is a bug."
        self.recipe = replace(self.recipe, steps=state["steps"])
        self._model.copy_in(state["weights"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]

    def _loss(self, lesson: Lesson, places: Sequence[int]) -> Tensor:
        def of(values: Sequence[float]) -> Tensor:
            picked = torch.tensor([values[place] for place in places], device=self._model.device)
            return picked.clamp(-LOGIT_MAX, LOGIT_MAX)

        logits = self._model.logits(lesson.shared, [lesson.tails[place] for place in places])
        wanted, found = functional.log_softmax(of(lesson.teacher), 0), functional.log_softmax(logits, 0)
        divergence = functional.kl_div(found, wanted, reduction="sum", log_target=True)
        moved = (logits.mean() - of(lesson.before).mean()) ** 2
        return divergence + self.recipe.score_pull * moved

    def _next_lessons(self) -> list[tuple[Lesson, list[int]]]:
        """The lessons of this step, each with the places of its candidates."""
        recipe = self.recipe
        count = min(recipe.lessons_per_step, len(self._lessons))
        found = []
        for number in range(self.step * count, (self.step + 1) * count):
            epoch, position = divmod(number, len(self._lessons))
            order = list(range(len(self._lessons)))
            random.Random(f"{recipe.seed} {epoch}").shuffle(order)  # noqa: S311  not a secret
            lesson = self._lessons[order[position]]
            found.append((lesson, _places(lesson, recipe.candidates, random.Random(f"{recipe.seed} {number}"))))  # noqa: S311
        if self._always:
            lesson = self._always[self.step % len(self._always)]
            found.append((lesson, list(range(len(lesson.tails)))))
        return found

    def _share_of_rate(self) -> float:
        """Up, then down in a straight line."""
        done = (self.step + 1) / self.recipe.steps
        return min(1.0, done / WARM_UP, (1.0 - self.step / self.recipe.steps) / (1.0 - WARM_UP))


def read_state(content: bytes) -> dict[str, Any]:
    """Read what `FineTuning.state` wrote. Also says for how many steps the run was planned."""
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state


def _digest(lessons: Sequence[Lesson], recipe: Recipe) -> str:
    """SHA-256 of everything that decides a run but its number of steps."""
    digest = hashlib.sha256(repr(replace(recipe, steps=0)).encode())
    for lesson in lessons:
        digest.update(repr((lesson.shared, lesson.tails, lesson.teacher, lesson.before)).encode())
    return digest.hexdigest()


def _places(lesson: Lesson, count: int, rng: random.Random) -> list[int]:
    """The teacher's best third of `count`, and others at random."""
    order = sorted(range(len(lesson.tails)), key=lambda place: -lesson.teacher[place])
    best, others = order[: count // 3], order[count // 3 :]
    return best + rng.sample(others, min(len(others), count - len(best)))
