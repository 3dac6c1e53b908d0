"""Alternative stopping rules that rerank/stopping_rule.py was compared with.

Each returns the expected change from the rest, as a share of the first places; reranking stops below a threshold.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping, Sequence
from statistics import NormalDist

from winnow.rerank.relevance import logit_of
from winnow.rerank.stopping_rule import WAVE, Foresight, Line, Seen, expected_gain


def last_wave(seen: Sequence[Seen], ahead: Sequence[float], top_k: int) -> float:  # noqa: ARG001
    """Share of the first places taken by the last wave: the next will hardly take more. Ignores scores."""
    if len(seen) <= WAVE:
        return math.inf  # the first wave took all of them
    order = sorted(range(len(seen)), key=lambda place: (-seen[place].score, place))
    return sum(place >= len(seen) - WAVE for place in order[:top_k]) / top_k


def pace(seen: Sequence[Seen], ahead: Sequence[float], top_k: int) -> float:
    """Extrapolates how many of the second half entered the first places; ignores similarity.

    If recall's order were random, the n-th candidate would enter with probability top_k / n. The rest is assumed to
    enter as much more rarely as the second half did; half a newcomer is added on both sides, so that none seen does not
    mean none to come.
    """
    half = len(seen) // 2
    best = sorted(each.score for each in seen[:half])[-top_k:]
    entered = by_chance = 0.0
    for number, each in enumerate(seen[half:], start=half + 1):
        by_chance += min(1.0, top_k / number)
        if len(best) < top_k or each.score > best[0]:
            entered += 1
            insort(best, each.score)
            best = best[-top_k:]
    rest = sum(top_k / number for number in range(len(seen) + 1, len(seen) + len(ahead) + 1))
    return (entered + 0.5) / (by_chance + 0.5) * rest / top_k


def expected_newcomers(seen: Sequence[Seen], ahead: Sequence[float], top_k: int) -> float:
    """The line of rerank/stopping_rule.py with normal scatter; counts expected entries, whatever their score."""
    line = Line.through([(each.similarity, logit_of(each.score)) for each in seen])
    least = logit_of(sorted((each.score for each in seen), reverse=True)[:top_k][-1])
    chances = (_chance_above(least, *line.predict(similarity)) for similarity in ahead)
    return math.fsum(chances) / top_k


def _chance_above(least: float, middle: float, spread: float) -> float:
    if spread <= 0.0:
        return float(middle > least)
    return NormalDist().cdf((middle - least) / spread)


RULES: Mapping[str, Foresight] = {
    "expected gain (taken)": expected_gain,
    "expected newcomers": expected_newcomers,
    "pace of newcomers": pace,
    "newcomers of the last wave": last_wave,
}
