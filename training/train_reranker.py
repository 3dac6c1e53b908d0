"""Trains the reranker on lists: the right passage before the embedder's results, the preferred twin before the other.

    python -m training.train_reranker --data DATA --work WORK --tokenizer TOKENIZERS/winnow-rerank \
        --start WORK/judge_start.pt --out WORK/reranker.pt --steps STEPS

`--start` may be the output of an earlier run; README.md has the two runs of the shipped model.

Half of the loss combines the reranker's logits with the embedder's similarities, because that is how the pair is used:
the reranker should spend its few weights on what the embedder gets wrong.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.averages import Average
from training.judge import Judge
from training.judge_prompts import Prompting
from training.judged_lists import JudgedBatch, ListsDrawn
from training.sequences import load_passages
from training.strengths import strengths

SIZE = 8  # lists per step
LEARNING_RATE_LEAST = 1e-6
WARM_UP_STEPS = 60
ROWS_RATE_FACTOR = 6.0  # a token occurs in few lists, and the trained part of its row are numbers of about 4
GRADIENT_LENGTH_MAX = 3.0
SIMILARITY_WEIGHT = 14.0
TOGETHER_SHARE = 0.5
# A little yes-or-no loss, so that a logit means the same for every question and 0 is the border.
RELEVANCE_BORDER, PREFERENCE_BORDER = 0.15, 0.1
RIGHT_WEIGHT, WRONG_WEIGHT = 2.0, 0.6  # there are five wrong ones for each right one


def listwise(scores: Tensor, shares: Tensor) -> Tensor:
    return -(shares * functional.log_softmax(scores, 1)).sum(1).mean()


def loss_of(logits: Tensor, batch: JudgedBatch) -> Tensor:
    shares, is_right = batch.shares, (batch.shares > 0).float()
    if batch.similarities is None:
        border = functional.binary_cross_entropy_with_logits(logits, is_right)
        return listwise(logits, shares) + PREFERENCE_BORDER * border
    weights = torch.where(shares > 0, RIGHT_WEIGHT, WRONG_WEIGHT)
    border = functional.binary_cross_entropy_with_logits(logits, is_right, weight=weights)
    together = listwise(logits + SIMILARITY_WEIGHT * batch.similarities, shares)
    return listwise(logits, shares) + TOGETHER_SHARE * together + RELEVANCE_BORDER * border


def firsts(logits: Tensor, batch: JudgedBatch) -> dict[str, float]:
    """Shares of lists with the right passage, or the preferred twin, first."""
    best = batch.shares.argmax(1)
    if batch.similarities is None:
        has_preference = batch.shares.max(1).values > 0.6
        is_first = (logits.argmax(1) == best)[has_preference].float()
        return {"preferred first": is_first.mean().item()} if len(is_first) else {}
    together = logits + SIMILARITY_WEIGHT * batch.similarities
    return {
        "right first": (logits.argmax(1) == best).float().mean().item(),
        "right first with similarity": (together.argmax(1) == best).float().mean().item(),
        "right first by similarity": (batch.similarities.argmax(1) == best).float().mean().item(),
    }


def learning_rate(step: int, steps: int, highest: float) -> float:
    return float(highest * min(1, (step + 1) / WARM_UP_STEPS) * (1 - step / steps) ** 0.9 + LEARNING_RATE_LEAST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Duration, learning rates and data of a training."""

    steps: int  # over which the learning rate falls to zero
    stop_after: int
    highest_rate: float
    relevance_share: float  # of the steps; the rest teach preferences


def train(judge: Judge, drawn: ListsDrawn, prompting: Prompting, course: Course) -> Average:
    others = [parameter for name, parameter in judge.named_parameters() if name != "embed_tokens.weight"]
    optimiser = torch.optim.Adam(
        [{"params": [judge.embed_tokens.weight]}, {"params": others}],
        lr=course.highest_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    trained = strengths(judge, prompting)
    average, began = Average(judge, decay_max=0.99), time.monotonic()
    seen: defaultdict[str, list[float]] = defaultdict(list)
    for step in range(course.stop_after):
        rate = learning_rate(step, course.steps, course.highest_rate)
        for group, factor in zip(optimiser.param_groups, (ROWS_RATE_FACTOR, 1.0), strict=True):
            group["lr"] = rate * factor
        is_relevance = drawn.rng.random() < course.relevance_share
        batch = drawn.batch(SIZE, drawn.relevance if is_relevance else drawn.preference)
        with torch.autocast("cpu", torch.bfloat16):
            logits = judge(batch.lists, prompting.yes, prompting.no)
        loss = loss_of(logits, batch)
        optimiser.zero_grad()
        loss.backward()
        for name, parameter in judge.named_parameters():
            assert parameter.grad is not None
            parameter.grad.mul_(trained[name])
        torch.nn.utils.clip_grad_norm_(judge.parameters(), GRADIENT_LENGTH_MAX)
        optimiser.step()
        if (step + 1) % 4 == 0:
            average.take(judge, step + 1)
        for name, value in {"loss": loss.item(), **firsts(logits.detach(), batch)}.items():
            seen[name].append(value)
        if (step + 1) % 50 == 0:
            means = ", ".join(f"{name} {np.mean(values):.3f}" for name, values in seen.items())
            print(f"step {step + 1}, {time.monotonic() - began:.0f} s: {means}", flush=True)
            seen.clear()
    return average


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "work", "tokenizer", "start", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--stop-after", type=int, help="steps to run, if not all")
    parser.add_argument("--highest-rate", type=float, default=3e-3)
    parser.add_argument("--relevance-share", type=float, default=0.5, help="of the steps; the rest teach preferences")
    parser.add_argument("--preferred", type=float, default=0.97, help="share of the yes for the preferred twin")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)  # second moments of rare tokens become denormal, which is twenty times slower
    prompting = Prompting.load(options.tokenizer)
    drawn = ListsDrawn.load(
        options.data,
        options.work,
        load_passages(options.work),
        prompting,
        preferred=options.preferred,
        seed=options.seed,
    )
    judge = Judge()
    judge.load_state_dict(torch.load(options.start))
    course = Course(
        steps=options.steps,
        stop_after=options.stop_after or options.steps,
        highest_rate=options.highest_rate,
        relevance_share=options.relevance_share,
    )
    average = train(judge, drawn, prompting, course)
    torch.save(average.state, options.out)


if __name__ == "__main__":
    main()
