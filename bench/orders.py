"""nDCG@10 of the order of answers, before and now, and of each stage alone, on judged collections with paired tests.

    python -m bench.orders --collections DIR... --work WORK [--queries 12]

    bm25        words alone
    dense       vectors alone
    before      the default until November 2026: 30 candidates by vectors, ordered by
                sigmoid(0.2868 logit + 16.2578 similarity - 7.7667)
    now         the default: by meaning and words; without an instruction the reranker has no weight
    relevance   the 30 candidates of `now` by the reranker alone

p is from a paired randomisation test of `now` against each, two-sided, 10,000 draws.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from training.order import CANDIDATES, NDCG, Asked, Logits, asked_of, first_of_each
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.retrieval.search.fusion import WORDS_WEIGHT
from winnow.retrieval.significance import p_of_difference

BEFORE = (0.2868, 16.2578)  # weights of logit and similarity


def orders_of(asked: Asked, logits: Logits) -> dict[str, list[str]]:
    near, worded = asked.pools.near, asked.pools.worded
    by_meaning = near.numbers[np.argsort(-near.similarities, kind="stable")]
    similarities = np.sort(near.similarities)[::-1]
    both, _ = asked.fused(WORDS_WEIGHT, 300)
    head = by_meaning[:CANDIDATES].tolist()
    blended = BEFORE[0] * logits.of(asked, head, DEFAULT_INSTRUCTION) + BEFORE[1] * similarities[: len(head)]
    alone = logits.of(asked, both[:CANDIDATES], DEFAULT_INSTRUCTION)
    return {
        "bm25": asked.names(worded.numbers.tolist()),
        "dense": asked.names(by_meaning.tolist()),
        "before": asked.names([head[place] for place in np.argsort(-blended, kind="stable")]),
        "now": asked.names(both),
        "relevance": asked.names([both[place] for place in np.argsort(-alone, kind="stable")]),
    }


def report(name: str, asked: Sequence[Asked], logits: Logits) -> None:
    figures: dict[str, list[float]] = {}
    for each in asked:
        for order, documents in orders_of(each, logits).items():
            figures.setdefault(order, []).append(NDCG.of(documents, each.grades))
    now = np.array(figures["now"])
    cells = []
    for order, values in figures.items():
        against = "" if order == "now" else f" (p {p_of_difference(now - np.array(values)):.3f})"
        cells.append(f"{np.mean(values):.3f}{against}")
    print(f"| {name} | {len(asked)} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collections", type=Path, nargs="+", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--asked", type=int, default=100, help="number of queries; a fixed sample")
    parser.add_argument("--queries", type=int, default=12, help="the first of these")
    parser.add_argument("--reranker", type=Path, default=Path("data/models/winnow-rerank"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    found = asyncio.run(asked_of(sorted(options.collections), None, options.work / "data", options.asked))
    chosen = first_of_each(found, options.queries)
    logits = Logits(options.reranker, options.work / "logits.json")
    print("| collection | queries | bm25 | dense | before | now | relevance |\n|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(each.collection for each in chosen):
        report(name, [each for each in chosen if each.collection == name], logits)
        logits.keep()
    report("all", chosen, logits)


if __name__ == "__main__":
    main()
