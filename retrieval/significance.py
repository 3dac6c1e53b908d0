"""Tests whether a difference between two orders is chance: paired randomisation, bootstrap interval, Holm's correction.

The paired randomisation test draws the sign of each query's difference again and again, and counts how often the mean
is as far from 0 as the observed one. Queries without a difference change no sum, so that only the others are drawn.
Where they have no more than `DRAWS` patterns of signs, all patterns are counted and the p-value is exact; else the
observed signs count as one of the draws, and p is never 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

DRAWS: Final = 10_000  # of the randomisation test, and resamples of the interval
SEED: Final = 2026
LEVEL: Final = 0.05  # a difference with a smaller p is significant
_TIE: Final = 1e-12  # sums of equal terms in another order differ by less
_BLOCK_NUMBERS: Final = 1_000_000  # drawn at once, which bounds memory

Numbers: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The mean difference of two orders over the same queries."""

    mean: float
    low: float  # the 95 % interval of the mean, by resampling the queries
    high: float
    p: float  # of the paired randomisation test, two-sided
    is_exact: bool  # p counts all patterns of signs, not draws
    queries: int

    @property
    def is_gain(self) -> bool:
        return self.mean > 0 and self.p < LEVEL

    @property
    def is_loss(self) -> bool:
        return self.mean < 0 and self.p < LEVEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """How much a figure fell over the same queries, tested against a bound."""

    mean: float  # before minus now
    bound: float
    p: float  # one-sided: how often a loss no larger than the bound looks like this
    smallest: float | None  # about the smallest mean loss that so many queries show; None if they are too few
    queries: int

    @property
    def is_beyond(self) -> bool:
        """Whether it is larger than the bound, and not by chance."""
        return self.mean > self.bound and self.p < LEVEL


def compare(ours: Sequence[float], theirs: Sequence[float], *, seed: int = SEED) -> Difference:
    """Compare two figures for each query: ours minus theirs."""
    assert len(ours) == len(theirs), "two figures for each query. This is a bug."
    assert ours, "no query, no difference. This is a bug."
    differences = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    low, high = _interval(differences, seed)
    return Difference(
        mean=float(differences.mean()),
        low=low,
        high=high,
        p=p_of_difference(differences, seed=seed),
        is_exact=is_exact(differences),
        queries=len(differences),
    )


def loss_beyond(before: Sequence[float], now: Sequence[float], *, bound: float, seed: int = SEED) -> Loss:
    """Test whether a figure fell by more than `bound`: a randomisation test of what the losses exceed it by."""
    assert len(before) == len(now), "two figures for each query. This is a bug."
    assert before, "no query, no loss. This is a bug."
    losses = np.asarray(before, dtype=np.float64) - np.asarray(now, dtype=np.float64)
    excess = losses - bound
    seen = float(excess.mean())
    return Loss(
        mean=float(losses.mean()),
        bound=bound,
        p=_p(excess, lambda means: means >= seen - _TIE, seed),
        smallest=_smallest_shown(losses, np.asarray(before, dtype=np.float64), bound),
        queries=len(losses),
    )


def p_of_difference(differences: Numbers, *, seed: int = SEED) -> float:
    """Two-sided p: how often random signs give a mean as far from 0 as the observed one."""
    seen = abs(float(differences.mean()))
    return _p(differences, lambda means: np.abs(means) >= seen - _TIE, seed)


def is_exact(differences: Numbers) -> bool:
    """Whether all patterns of signs are counted."""
    return _patterns(differences) <= DRAWS


def holm(ps: Sequence[float]) -> list[float]:
    """Adjust p-values of several tests by Holm's method. Below `LEVEL`, they are significant together."""
    adjusted = [0.0] * len(ps)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda each: ps[each])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = largest
    return adjusted


def _p(differences: Numbers, is_as_extreme: Callable[[Numbers], NDArray[np.bool_]], seed: int) -> float:
    found = sum(int(np.count_nonzero(is_as_extreme(means))) for means in _means_with_signs(differences, seed))
    if is_exact(differences):
        return found / _patterns(differences)
    return (found + 1) / (DRAWS + 1)


def _patterns(differences: Numbers) -> int:
    """How many patterns of signs give sums of their own."""
    return 1 << int(np.count_nonzero(differences))


def _means_with_signs(differences: Numbers, seed: int) -> Iterator[Numbers]:
    """Means under all patterns of signs, or under `DRAWS` drawn ones."""
    moved = differences[differences != 0]
    if is_exact(differences):
        patterns = np.arange(1 << len(moved))[:, np.newaxis] >> np.arange(len(moved)) & 1
        yield (2.0 * patterns - 1.0) @ moved / len(differences)
        return
    generator = np.random.default_rng(seed)
    for rows in _blocks(len(moved)):
        signs = 2.0 * generator.integers(0, 2, size=(rows, len(moved)), dtype=np.int8) - 1.0
        yield signs @ moved / len(differences)


def _interval(differences: Numbers, seed: int) -> tuple[float, float]:
    """The 95 % interval of the mean by a paired bootstrap: percentiles over `DRAWS` resamples of the queries."""
    generator = np.random.default_rng(seed)
    count = len(differences)
    means = [differences[generator.integers(0, count, size=(rows, count))].mean(axis=1) for rows in _blocks(count)]
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return float(low), float(high)


def _blocks(width: int) -> Iterator[int]:
    """Numbers of draws to make at once, `DRAWS` together."""
    rows = max(1, _BLOCK_NUMBERS // width)
    for start in range(0, DRAWS, rows):
        yield min(rows, DRAWS - start)


def _smallest_shown(losses: Numbers, before: Numbers, bound: float) -> float | None:
    """The mean loss that lies so far beyond the bound that p is about `LEVEL`, with losses as different as these.

    If no query differs, the spread is that of two orders that have nothing in common: the most cautious one.
    """
    count = len(losses)
    if 0.5**count >= LEVEL:
        return None
    spread = float(losses.std(ddof=1)) if np.any(losses != 0) else math.sqrt(2.0) * float(before.std(ddof=1))
    return bound + NormalDist().inv_cdf(1.0 - LEVEL) * spread / math.sqrt(count)
