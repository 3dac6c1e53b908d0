"""Collapses near-identical passages of a ranking, and orders by maximal marginal relevance (MMR). Pure.

collapse   Each passage, best first, is kept unless a kept one above it is near-identical; then the highest such one
           stands for it. There are no chains: a collapsed passage is near-identical to the kept one itself, and no two
           kept ones are near-identical. Equal scores are already ordered by chunk number, so the result is determined.
MMR        Carbonell and Goldstein, 1998. The next passage is the one with the highest

               lambda * relevance - (1 - lambda) * greatest cosine to a passage already chosen

           The cosine is raw, and 0 for the first. Relevance is the score of the order (`ranked_by`), scaled linearly so
           that the best candidate has 1 and the last 0. Equal values stay in order, so lambda 1 changes nothing.

Passages that `demote_query_echo` placed last stay last: MMR orders only the others.
Similarities are rounded to 6 decimals before they are compared, so that the same vector twice has 1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from winnow.rerank.reranker import Ranked
from winnow.retrieval.lexical.shingles import shingle_similarities
from winnow.retrieval.records import Collapse, Diversity, Vectors

DECIMALS: Final = 6

Similarities = NDArray[np.float64]  # (n, n), symmetric, rounded


class Measure(StrEnum):
    """How two passages were found to be near-identical."""

    COSINE = "cosine"  # of their stored vectors
    SHINGLES = "shingles"  # Jaccard similarity of title and text (retrieval/lexical/shingles.py)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collapsed:
    """A passage that is left out, and how similar it is to the kept one."""

    ranked: Ranked
    cosine: float | None  # None: not measured
    shingles: float | None  # likewise
    by: tuple[Measure, ...]  # those that reach their limit


@dataclass(frozen=True, slots=True, kw_only=True)
class MmrPlace:
    """Why MMR placed a passage where it is."""

    rank_before: int  # before MMR, among the kept
    relevance: float  # scaled to [0, 1]
    similarity: float | None  # the greatest cosine to a passage placed before; None for the first


@dataclass(frozen=True, slots=True, kw_only=True)
class Diversified:
    """The kept passages in their final order, and what became of the others."""

    wanted: Diversity
    kept: tuple[Ranked, ...]
    collapsed: Mapping[int, Sequence[Collapsed]]  # by the chunk number of the kept passage, in order
    mmr: Mapping[int, MmrPlace]  # by chunk number; empty without MMR, and for demoted passages


def diversify(ranked: Sequence[Ranked], wanted: Diversity, vectors: Vectors | None = None) -> Diversified:
    """Collapse first, then order the kept by MMR. `vectors` belong to `ranked`, where `wanted` needs them."""
    if not ranked:
        return Diversified(wanted=wanted, kept=(), collapsed={}, mmr={})
    cosines = cosine_similarities(vectors) if vectors is not None and wanted.needs_vectors else None
    kept, collapsed = collapse(ranked, wanted.collapse, cosines)
    if wanted.mmr_lambda is None:
        return Diversified(wanted=wanted, kept=tuple(ranked[place] for place in kept), collapsed=collapsed, mmr={})
    assert cosines is not None, "MMR has vectors. This is a bug."
    movable = [place for place in kept if not ranked[place].demoted]
    relevances = scaled_relevances([ranked[place].score for place in movable])
    order, similarities = mmr_order(relevances, cosines[np.ix_(movable, movable)], wanted.mmr_lambda)
    places = {
        ranked[movable[chosen]].candidate.chunk.number: MmrPlace(
            rank_before=chosen + 1, relevance=float(relevances[chosen]), similarity=similarity
        )
        for chosen, similarity in zip(order, similarities, strict=True)
    }
    demoted = [place for place in kept if ranked[place].demoted]
    final = [*(movable[chosen] for chosen in order), *demoted]
    return Diversified(wanted=wanted, kept=tuple(ranked[place] for place in final), collapsed=collapsed, mmr=places)


def cosine_similarities(vectors: Vectors) -> Similarities:
    """Return the cosine of every pair; a vector of zeros is similar to none."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    similarities: Similarities = np.round((units @ units.T).astype(np.float64), DECIMALS).clip(-1.0, 1.0)
    return similarities


def collapse(
    ranked: Sequence[Ranked], limits: Collapse, cosines: Similarities | None
) -> tuple[list[int], dict[int, list[Collapsed]]]:
    """Return the places of the kept passages, ascending, and what each stands for, by its chunk number."""
    similarities: dict[Measure, tuple[Similarities, float]] = {}
    if limits.cosine is not None:
        assert cosines is not None, "a collapse by cosine has vectors. This is a bug."
        similarities[Measure.COSINE] = cosines, limits.cosine
    if limits.shingles is not None:
        passages = [each.candidate.chunk.passage for each in ranked]
        similarities[Measure.SHINGLES] = np.round(shingle_similarities(passages), DECIMALS), limits.shingles
    near = np.zeros((len(ranked), len(ranked)), dtype=np.bool_)
    for values, limit in similarities.values():
        near |= values >= limit
    collapsed: defaultdict[int, list[Collapsed]] = defaultdict(list)
    kept = keep_first(near)
    for place, keeper in enumerate(kept.tolist()):
        if place == keeper:
            continue
        found = {measure: float(values[place, keeper]) for measure, (values, _) in similarities.items()}
        collapsed[ranked[keeper].candidate.chunk.number].append(
            Collapsed(
                ranked=ranked[place],
                cosine=found.get(Measure.COSINE),
                shingles=found.get(Measure.SHINGLES),
                by=tuple(measure for measure, (_, limit) in similarities.items() if found[measure] >= limit),
            )
        )
    return np.flatnonzero(kept == np.arange(len(ranked))).tolist(), dict(collapsed)


def keep_first(near: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each place the place that stands for it: its own if it is kept."""
    keepers = np.arange(len(near))
    free = np.ones(len(near), dtype=np.bool_)
    for place, row in enumerate(near):
        if free[place]:
            free[place] = False
            taken = row & free
            keepers[taken] = place
            free &= ~taken
    return keepers


def scaled_relevances(scores: Sequence[float | None]) -> NDArray[np.float64]:
    """Scale scores, best first, to [0, 1]; all 1 if they are equal. A missing score counts as the lowest."""
    known = [score for score in scores if score is not None]
    values = np.array([min(known, default=0.0) if score is None else score for score in scores], dtype=np.float64)
    values = np.minimum.accumulate(values)  # an order that is not by score keeps its order
    spread = values[0] - values[-1] if len(values) else 0.0
    if spread == 0.0:
        return np.ones(len(values))
    scaled: NDArray[np.float64] = (values - values[-1]) / spread
    return scaled


def mmr_order(
    relevances: NDArray[np.float64], cosines: Similarities, weight: float
) -> tuple[list[int], list[float | None]]:
    """Return all places in the order of MMR, and for each its greatest cosine to those before; None for the first."""
    order: list[int] = []
    similarities: list[float | None] = []
    nearest = np.zeros(len(relevances))
    left = np.ones(len(relevances), dtype=np.bool_)
    while len(order) < len(relevances):
        values = np.where(left, weight * relevances - (1.0 - weight) * nearest, -np.inf)
        chosen = int(values.argmax())  # the first of equal ones
        similarities.append(float(nearest[chosen]) if order else None)
        left[chosen] = False
        nearest = np.maximum(nearest, cosines[chosen]) if order else cosines[chosen]
        order.append(chosen)
    return order, similarities
