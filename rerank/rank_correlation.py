"""Measures of how much two orders of the same candidates differ. Pure; orders are best first.

Overlap: what a reader of the first page would miss. Tau: how often two candidates swapped places, anywhere. RBO: the
same with most of its weight at the top.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Final

import numpy as np

RBO_PERSISTENCE: Final = 0.9  # the first ten places have 86 % of the weight


def overlap(one: Sequence[Hashable], other: Sequence[Hashable], depth: int) -> float:
    """Share of the first `depth` places that both orders fill with the same candidates, in any order; in [0, 1].

    For shorter orders, the share of what could be in common. Two empty orders agree.
    """
    assert depth > 0, "a depth is at least 1. This is a bug."
    most = min(depth, max(len(one), len(other)))
    return len(set(one[:depth]) & set(other[:depth])) / most if most else 1.0


def kendall_tau_b(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Kendall's tau-b of two scores per candidate, listed in the same order of candidates; in [-1, 1].

    Concordant minus discordant pairs, over the geometric mean of the untied pairs of each score. None if either ties
    every pair: then no order exists to agree with.
    """
    assert len(one) == len(other), "two scores for each candidate. This is a bug."
    ways = [np.sign(np.subtract.outer(scores, scores)) for scores in (np.asarray(one, float), np.asarray(other, float))]
    untied = [float(np.count_nonzero(way)) for way in ways]
    if not all(untied):
        return None
    return float(np.sum(ways[0] * ways[1])) / math.sqrt(untied[0] * untied[1])


def rank_biased_overlap(
    one: Sequence[Hashable], other: Sequence[Hashable], *, persistence: float = RBO_PERSISTENCE
) -> float:
    """Rank-biased overlap of two orders of equal length, extrapolated; in [0, 1].

    The mean agreement of the first d places over all depths d, weighted by `persistence` ** (d - 1); below the last
    place the agreement is assumed to stay constant. Equation 32 of Webber, Moffat and Zobel, A similarity measure for
    indefinite rankings, ACM TOIS 28(4), 2010. Two empty orders agree.
    """
    assert len(one) == len(other), "orders of the same candidates. This is a bug."
    assert 0.0 < persistence < 1.0, "else the weights have no sum. This is a bug."
    if not one:
        return 1.0
    seen_one: set[Hashable] = set()
    seen_other: set[Hashable] = set()
    common, weight, total = 0, 1.0, 0.0
    for depth, (first, second) in enumerate(zip(one, other, strict=True), start=1):
        common += (first in seen_other) + (second in seen_one) + (first == second)
        seen_one.add(first)
        seen_other.add(second)
        weight *= persistence
        total += weight * common / depth
    return (1.0 - persistence) / persistence * total + weight * common / len(one)
