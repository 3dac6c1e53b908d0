"""How much do two orders of the same candidates differ? Pure; best first wherever an order is meant.

Overlap says what a reader of the first page would miss, tau how often two candidates changed places wherever they
stand, RBO the same with most of its weight at the top.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Final

import numpy as np

RBO_PERSISTENCE: Final = 0.9  # the first ten places have 86 % of the weight


def overlap(one: Sequence[Hashable], other: Sequence[Hashable], depth: int) -> float:
    """The share of the first `depth` places that both fill with the same candidates, in whatever order; in [0, 1].

    Of shorter orders, the share of what could be in common. Two empty ones agree.
    """
    assert depth > 0, "a depth is at least 1. This is a bug."
    most = min(depth, max(len(one), len(other)))
    return len(set(one[:depth]) & set(other[:depth])) / most if most else 1.0


def kendall_tau_b(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Of two scores for each candidate, in the same order of candidates; in [-1, 1].

    Pairs that stand the same way less pairs that stand the other way, over the geometric mean of the pairs that are not
    tied in the one and in the other. None where either ties everything: there is no order that could agree.
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
    """RBO of two orders of one length, extrapolated; in [0, 1].

    The mean agreement of the first d places over all depths d, weighted by `persistence` ** (d - 1), where below the
    last place the agreement is taken to stay what it is there. Equation 32 of Webber, Moffat and Zobel, A similarity
    measure for indefinite rankings, ACM TOIS 28(4), 2010. Two empty orders agree.
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
