"""Decides after each wave whether the remaining candidates are worth reranking, from the scores so far. Pure.

Candidates are reranked in recall's order, in waves. After each wave:

1. Fit the scores so far, as logits, with a straight line over similarity that never falls: a passage is not worse for
   being nearer. The line predicts the logit of a candidate that was not reranked; its scatter says how far off that may
   be, more so where the similarity lies outside the range seen. Rerankers say yes or no more often than perhaps, so the
   tails are those of Student's t with four degrees of freedom, not of the normal distribution.
2. A candidate that enters the first `top_k` places pushes others down. What that adds to the discounted gain of these
   places (DCG, the sum of score / log2(place + 1)) is known for every score it might get; its mean over the predicted
   scores is the expected gain from reranking it.
3. Skip the rest when all of it together is expected to add less than `epsilon` of the gain so far.

So reranking goes on where nothing good was found or where similarity does not predict the score, and ends early where
good candidates hold the first places. The sum counts each candidate as if it came alone; together they add less, so the
rule errs towards reranking. With epsilon 0 everything is reranked.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from winnow.rerank.relevance import logit_of, relevance_of

WAVE: Final = 25  # candidates in the first wave; fewer say little about a line and its scatter
TOP_K_MARGIN: Final = 2  # times top_k; the least that is reranked, however certain the rule is
EPSILON: Final = 0.005  # share of the gain; bench/RESULTS.md has what it costs and what it saves
POINTS_MIN: Final = 3  # points for a line with a scatter

_FREEDOM: Final = 4.0  # degrees of Student's t
_AWAY_MAX: Final = 8  # scatters from the line; one outcome in a thousand lies beyond
_AWAY: Final = tuple(float(away) for away in range(-_AWAY_MAX, _AWAY_MAX + 1))
_ODDS: Final = tuple(math.pow(1.0 + away * away / _FREEDOM, -(_FREEDOM + 1.0) / 2.0) for away in _AWAY)
_CHANCES: Final = tuple((away, odds / math.fsum(_ODDS)) for away, odds in zip(_AWAY, _ODDS, strict=True))


class Depth(StrEnum):
    """How many of the candidates are reranked."""

    FULL = "full"  # all
    ADAPTIVE = "adaptive"  # until the rest is unlikely to change the answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The similarity and score of a candidate that was reranked."""

    similarity: float
    score: float  # in [0, 1]; orders the ranking


# Expected gain from the rest: the reranked candidates in recall's order; the similarities of the rest; top_k.
Foresight: TypeAlias = Callable[[Sequence[Seen], Sequence[float], int], float]


def expected_gain(seen: Sequence[Seen], ahead: Sequence[float], top_k: int) -> float:
    """Expected gain from reranking the rest, as a share of the gain of the first places."""
    places = Places.of([each.score for each in seen], top_k)
    if places.gain <= 0.0:
        return math.inf  # anything is more than nothing
    line = Line.through([(each.similarity, logit_of(each.score)) for each in seen])
    return math.fsum(_rise(places, *line.predict(similarity)) for similarity in ahead) / places.gain


def _rise(places: Places, middle: float, spread: float) -> float:
    return sum(chance * places.rise(relevance_of(middle + spread * away)) for away, chance in _CHANCES)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppingRule:
    """Decides when to stop reranking."""

    epsilon: float = EPSILON  # stop below it
    wave: int = WAVE
    foresight: Foresight = expected_gain

    def waves(self, candidates: int, *, top_k: int) -> Iterator[int]:
        """Yield how many candidates are reranked after each wave; the last is all of them.

        Each wave doubles the total: waves wait for one another, so there should be few.
        """
        end = max(self.wave, TOP_K_MARGIN * top_k, POINTS_MIN)
        while end < candidates:
            yield end
            end *= 2
        yield candidates

    def is_enough(self, seen: Sequence[Seen], ahead: Sequence[float], *, top_k: int) -> bool:
        """Whether the rest, of which only the similarities are known, can be skipped."""
        return self.foresight(seen, ahead, top_k) < self.epsilon


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A straight line through points, and the spread expected of the next one."""

    middle: tuple[float, float]  # the mean point, which lies on the line
    slope: float
    scatter: float  # variance of a point around the line
    width: float  # sum of squared distances of the points along the line's axis
    points: int

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]]) -> Line:
        """Fit by least squares, flat instead of falling. Needs three points: two say nothing about a scatter."""
        count = len(points)
        assert count >= POINTS_MIN, "the first wave is larger. This is a bug."
        x, y = (math.fsum(axis) / count for axis in zip(*points, strict=True))
        width = math.fsum((one - x) ** 2 for one, _ in points)
        slope = max(0.0, math.fsum((one - x) * (other - y) for one, other in points) / width) if width > 0.0 else 0.0
        squares = math.fsum((other - y - slope * (one - x)) ** 2 for one, other in points)
        return cls(middle=(x, y), slope=slope, scatter=squares / (count - 2), width=width, points=count)

    def predict(self, at: float) -> tuple[float, float]:
        """Predict the mean at this position, and the spread around it."""
        away = at - self.middle[0]
        lever = away * away / self.width if self.width > 0.0 else 0.0
        return self.middle[1] + self.slope * away, math.sqrt(self.scatter * (1.0 + 1.0 / self.points + lever))


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The first places of an order, and what another score would add to their discounted gain."""

    taken: tuple[float, ...]  # the scores in them, descending
    gain: float
    pushed: tuple[float, ...]  # change of the gain if all from this place on move down by one

    @classmethod
    def of(cls, scores: Sequence[float], top_k: int) -> Places:
        """The best `top_k` of these scores."""
        taken = sorted(scores, reverse=True)[:top_k]
        pushed = [0.0]
        for place in range(len(taken) - 1, -1, -1):
            behind = _weight(place + 1) if place + 1 < top_k else 0.0
            pushed.append(pushed[-1] + taken[place] * (behind - _weight(place)))
        gain = math.fsum(score * _weight(place) for place, score in enumerate(taken))
        return cls(taken=tuple(taken), gain=gain, pushed=tuple(reversed(pushed)))

    def rise(self, score: float) -> float:
        """Gain from a candidate with this score, never negative; ties go behind."""
        if score <= self.taken[-1]:
            return 0.0
        place = bisect_right(self.taken, -score, key=lambda taken: -taken)
        return score * _weight(place) + self.pushed[place]


def _weight(place: int) -> float:
    """Discount of a place, counted from 0."""
    return 1.0 / math.log2(place + 2)
