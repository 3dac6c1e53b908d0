"""Trains the embedder: in-batch InfoNCE over texts whose vectors should be close.

    python -m training.train_embedder --work WORK --tokenizer TOKENIZERS/winnow-rerank --out WORK/embedder.pt

One core, 3,075 steps of 768 pairs, 24 minutes. No test collection is used here; see training.evaluate.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.averages import Average
from training.bag import Bag, bags
from training.sequences import load_passages, load_queries, load_twins
from training.texts_alike import AlikeTexts, Batch
from winnow.retrieval.model.tokenizer import PlainTokenizer, ScaffoldTokenizer

END = "<|endoftext|>"
LEARNING_RATE_LEAST = 1e-5
WARM_UP_STEPS = 100
ROWS_RATE_FACTOR = 5.0  # a row occurs in few texts per batch, the shared matrices in all
SCALE_MAX = 60.0
TOO_ALIKE = 0.97  # another passage this close to the right one is not wrong: boilerplate, double translations
FORWARD_SHARE = 0.7  # question to passage; the rest is passage to question


def started(seed: int, meanings: Path) -> Bag:
    bag = Bag(seed=seed)
    with torch.no_grad():
        bag.rows.copy_(torch.from_numpy(np.load(meanings)))
    bag.normalise_rows()
    return bag


def loss_of(bag: Bag, batch: Batch, end: int) -> Tensor:
    tokens, starts = bags([*batch.queries, *batch.passages], end)
    # The table is computed for the batch's own tokens only, about a third of the vocabulary.
    used, places = torch.unique(tokens, return_inverse=True)
    vectors = bag.embed(bag.table(used), places, starts, end)
    count = len(batch.queries)
    queries, passages = vectors[:count], vectors[count:]
    scores = bag.log_scale.exp().clamp(max=SCALE_MAX) * queries @ passages.T
    with torch.no_grad():
        is_no_negative = (passages @ passages.T > TOO_ALIKE) & ~torch.eye(count, dtype=torch.bool)
    scores = scores.masked_fill(is_no_negative, -1e4)
    right = torch.arange(count)
    forward, backward = functional.cross_entropy(scores, right), functional.cross_entropy(scores.T, right)
    return forward * FORWARD_SHARE + backward * (1 - FORWARD_SHARE)


def learning_rate(step: int, steps: int, highest: float) -> float:
    return float(highest * min(1, (step + 1) / WARM_UP_STEPS) * (1 - step / steps) ** 0.8 + LEARNING_RATE_LEAST)


def train(bag: Bag, texts: AlikeTexts, end: int, *, steps: int, size: int, highest_rate: float) -> Average:
    others = [parameter for name, parameter in bag.named_parameters() if name != "rows"]
    optimiser = torch.optim.Adam(
        [{"params": [bag.rows]}, {"params": others}], lr=highest_rate, betas=(0.9, 0.99), eps=1e-8, fused=True
    )
    average = Average(bag, decay_max=0.995)
    began, losses = time.monotonic(), []
    for step in range(steps):
        rate = learning_rate(step, steps, highest_rate)
        for group, factor in zip(optimiser.param_groups, (ROWS_RATE_FACTOR, 1.0), strict=True):
            group["lr"] = rate * factor
        loss = loss_of(bag, texts.draw(size), end)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        bag.normalise_rows()
        if (step + 1) % 5 == 0:
            average.take(bag, step + 1)
        losses.append(loss.item())
        if (step + 1) % 100 == 0:
            seconds = time.monotonic() - began
            print(f"step {step + 1}, {seconds:.0f} s, loss {np.mean(losses[-100:]):.3f}", flush=True)
    return average


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder from training.sequences, with meanings.npy")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3_075)
    parser.add_argument("--size", type=int, default=768, help="pairs per step")
    parser.add_argument("--highest-rate", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)  # second moments of rare tokens become denormal, which is twenty times slower
    texts = AlikeTexts(
        load_passages(options.work),
        load_queries(options.work),
        load_twins(options.work),
        PlainTokenizer.load(options.tokenizer),
        seed=options.seed,
    )
    for group, share in zip(texts.groups, texts.shares, strict=True):
        print(f"{group.name}: {len(group.rows)} rows, {share:.3f} of the batches")
    end = ScaffoldTokenizer.load(options.tokenizer).token_id(END)
    bag = started(options.seed, options.work / "meanings.npy")
    average = train(bag, texts, end, steps=options.steps, size=options.size, highest_rate=options.highest_rate)
    bag.load_state_dict(average.state)
    bag.normalise_rows()  # an average of rows of unit RMS is shorter
    torch.save(bag.state_dict(), options.out)


if __name__ == "__main__":
    main()
