"""Compares orders with a teacher's scores, and two orders with each other. Pure.

nDCG has the teacher's relevance as gain, discounted by log2(rank + 1). Differences are tested by a paired randomisation
test: the sign of each query's difference is drawn again and again, and the observed mean is compared with those.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

DEPTH: Final = 10  # places that nDCG looks at
DRAWS: Final = 10_000  # of the randomisation test, and resamples of the interval
LEVEL: Final = 0.05  # a difference with a smaller p is significant
_TIE: Final = 1e-12  # sums of equal terms in another order differ by less


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The mean difference of two orders over the same queries."""

    mean: float
    low: float  # the 95 % interval of the mean, by resampling the queries
    high: float
    p: float  # of the paired randomisation test, two-sided
    queries: int

    @property
    def is_gain(self) -> bool:
        return self.mean > 0 and self.p < LEVEL

    @property
    def is_loss(self) -> bool:
        return self.mean < 0 and self.p < LEVEL


def best_first(scores: Sequence[float]) -> list[int]:
    """Places in descending order of score; equal scores keep their order."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])


def ndcg(order: Sequence[int], gains: Sequence[float], *, depth: int = DEPTH) -> float:
    """nDCG of an order of places, with a gain for each place. 1 if no place has a gain: no order is better."""
    best = sorted(gains, reverse=True)[:depth]
    ideal = _discounted(best)
    return _discounted([gains[place] for place in order[:depth]]) / ideal if ideal > 0 else 1.0


def compare(ours: Sequence[float], theirs: Sequence[float], *, seed: int) -> Difference:
    """Compare two figures for each query: ours minus theirs."""
    assert len(ours) == len(theirs), "two figures for each query. This is a bug."
    assert ours, "no query, no difference. This is a bug."
    differences = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    rng = np.random.default_rng(seed)
    mean = float(differences.mean())
    as_extreme = 1  # the observed signs are one of the draws
    for _ in range(DRAWS):
        as_extreme += abs(_mean_with_signs(differences, rng)) >= abs(mean) - _TIE
    picked = rng.integers(0, len(differences), size=(DRAWS, len(differences)))
    low, high = np.quantile(differences[picked].mean(axis=1), (0.025, 0.975))
    return Difference(mean=mean, low=float(low), high=float(high), p=as_extreme / (DRAWS + 1), queries=len(differences))


def _mean_with_signs(differences: NDArray[np.float64], rng: np.random.Generator) -> float:
    signs = 2.0 * rng.integers(0, 2, size=len(differences)) - 1.0
    return float((differences * signs).mean())


def _discounted(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
