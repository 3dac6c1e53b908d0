"""Evaluates the exported models on BEIR collections and on cases that the instruction decides.

    python -m training.evaluate --embedder DIR --reranker DIR --collections DIR... [--cases FILE...]

The embedder is measured on all queries, the reranker on a sample of them (--queries), on the embedder's candidates
(--candidates), by relevance alone. `winnow eval` measures the order of answers, through the whole service.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from training.exported import Collection, Embedding, Judging, Recalled
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.retrieval.measures import parse
from winnow.retrieval.records import Vectors

NDCG, RECALL = parse("nDCG@10"), parse("Recall@100")
DEPTH = 100


def reordered(documents: Sequence[str], scores: Vectors) -> list[str]:
    return [documents[place] for place in np.argsort(-scores, kind="stable")]


def two_stages(
    judging: Judging, collection: Collection, recalled: Recalled, queries: Sequence[str], candidates: int
) -> dict[str, float]:
    """nDCG@10 of each order of the same candidates."""
    orders: dict[str, dict[str, list[str]]] = {"embedder": {}, "reranker": {}}
    for query in queries:
        documents = recalled.documents[query][:candidates]
        passages = [collection.passages[document] for document in documents]
        logits = judging.logits(collection.queries[query], passages, DEFAULT_INSTRUCTION)
        orders["embedder"][query] = documents
        orders["reranker"][query] = reordered(documents, logits)
    judgments = {query: collection.judgments[query] for query in queries}
    return {name: NDCG.mean(order, judgments) for name, order in orders.items()}


def measure(collection: Collection, embedding: Embedding, judging: Judging | None, options: argparse.Namespace) -> None:
    recalled = Recalled(embedding, collection, DEPTH)
    ndcg = NDCG.mean(recalled.documents, collection.judgments)
    recall = RECALL.mean(recalled.documents, collection.judgments)
    print(f"{collection.name}: embedder {NDCG} {ndcg:.3f}, {RECALL} {recall:.3f} ({len(collection.queries)} queries)")
    if judging is None:
        return
    chosen = np.random.default_rng(options.seed).permutation(sorted(collection.queries))[: options.queries].tolist()
    found = two_stages(judging, collection, recalled, chosen, options.candidates)
    told = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
    print(f"  {len(chosen)} queries, {options.candidates} candidates, {NDCG}: {told}", flush=True)


def is_right(judging: Judging, case: Mapping[str, str]) -> tuple[bool, bool]:
    """Whether the first comes first where it is preferred, and the second where that is."""
    passages = [case["first"], case["second"]]
    first, second = (judging.logits(case["query"], passages, case[wants]) for wants in ("wants_first", "wants_second"))
    return bool(first[0] > first[1]), bool(second[1] > second[0])


def measure_cases(judging: Judging, path: Path, limit: int) -> None:
    cases = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:limit]]
    right = np.array([is_right(judging, case) for case in cases])
    first, second = right.mean(0)
    both = right.all(1).mean()
    print(f"{path.name}: both orders right in {both:.3f}, first {first:.3f}, second {second:.3f} ({len(cases)} cases)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedder", type=Path, required=True)
    parser.add_argument("--reranker", type=Path)
    parser.add_argument("--collections", type=Path, nargs="*", default=[])
    parser.add_argument("--cases", type=Path, nargs="*", default=[], help="files from training.cases")
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--candidates", type=int, default=50)
    parser.add_argument("--cases-max", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    embedding = Embedding(options.embedder)
    judging = Judging(options.reranker) if options.reranker else None
    for folder in options.collections:
        measure(Collection(folder), embedding, judging, options)
    if judging is not None:
        for path in options.cases:
            measure_cases(judging, path, options.cases_max)


if __name__ == "__main__":
    main()
