"""Fit the declared order of the small pair: score = sigmoid(a * logit + b * similarity + c).

    python -m training.blend --embedder DIR --reranker DIR --corpus data/corpus --out WORK/blend.json

Logistic regression on the candidates of data/corpus: judged relevant, or recalled and not judged. Not on held-out
training questions, as one would first think: the embedder has seen nearly every passage and many a question of its
sources, so that its similarities there are surer of the right passage than they will ever be on anybody's documents,
and the fit would trust them too much. The collections are not looked at. What is measured on data/corpus with this
blend is therefore measured on what three numbers were fitted to; the figures by line (fitted on the other three
lines) are printed for that reason.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rerank.instruction import DEFAULT_INSTRUCTION
from retrieval.records import Vectors
from training.evaluate import NDCG, reordered
from training.exported import Collection, Embedding, Judging, Recalled

_STEPS = 30
_RIDGE = 1e-6  # keeps Newton's step finite where the two classes can be parted


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The candidates of one query."""

    query: str
    line: str  # business line
    documents: list[str]
    features: Vectors  # (candidates, 3): logit, similarity, 1
    is_relevant: NDArray[np.bool_]


def candidates(embedding: Embedding, judging: Judging, collection: Collection, depth: int) -> list[Judged]:
    recalled = Recalled(embedding, collection, depth)
    found: list[Judged] = []
    for query, documents in recalled.documents.items():
        passages = [collection.passages[document] for document in documents]
        logits = judging.logits(collection.queries[query], passages, DEFAULT_INSTRUCTION)
        columns = [logits, recalled.similarities[query], np.ones(len(documents))]
        grades = collection.judgments[query]
        found.append(
            Judged(
                query=query,
                line=query.split("-")[1],
                documents=documents,
                features=np.stack(columns, axis=1),
                is_relevant=np.array([grades.get(document, 0) > 0 for document in documents]),
            )
        )
    return found


def fitted(judged: Sequence[Judged]) -> Vectors:
    """Newton's method on the log likelihood: three numbers, so a dozen steps are plenty."""
    features = np.concatenate([one.features for one in judged])
    targets = np.concatenate([one.is_relevant for one in judged]).astype(np.float64)
    weights = np.zeros(features.shape[1])
    for _ in range(_STEPS):
        probabilities = 1 / (1 + np.exp(-features @ weights))
        gradient = features.T @ (targets - probabilities) - _RIDGE * weights
        curvature = (features * (probabilities * (1 - probabilities))[:, None]).T @ features
        weights = weights + np.linalg.solve(curvature + _RIDGE * np.eye(len(weights)), gradient)
    return weights


def ndcg(judged: Sequence[Judged], weights: Vectors, judgments: Mapping[str, Mapping[str, int]]) -> float:
    orders = {one.query: reordered(one.documents, one.features @ weights) for one in judged}
    return NDCG.mean(orders, {query: judgments[query] for query in orders})


def report(judged: Sequence[Judged], judgments: Mapping[str, Mapping[str, int]]) -> None:
    """On each line with the weights of the other lines: what the fit is worth where it was not fitted."""
    for line in sorted({one.line for one in judged}):
        inside = [one for one in judged if one.line == line]
        weights = fitted([one for one in judged if one.line != line])
        alone = ndcg(inside, np.array([0.0, 1.0, 0.0]), judgments), ndcg(inside, np.array([1.0, 0.0, 0.0]), judgments)
        print(
            f"{line}: {NDCG} embedder {alone[0]:.3f}, reranker {alone[1]:.3f}, blend of the other lines "
            f"{ndcg(inside, weights, judgments):.3f} {np.round(weights, 3).tolist()}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("embedder", "reranker", "corpus", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--candidates", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    collection = Collection(options.corpus)
    judged = candidates(Embedding(options.embedder), Judging(options.reranker), collection, options.candidates)
    report(judged, collection.judgments)
    weights = fitted(judged)
    assert weights[0] > 0, "a reranker whose yes counts against a passage is not to be shipped"
    names = ("relevance_weight", "similarity_weight", "bias")
    blend = {name: round(float(weight), 4) for name, weight in zip(names, weights, strict=True)}
    print(blend)
    options.out.write_text(json.dumps(blend, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
