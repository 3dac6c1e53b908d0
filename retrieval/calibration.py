"""Chooses a threshold of relevance, so that a stated share of the passages above it is relevant.

The method is Learn then Test (Angelopoulos, Bates, Candès, Jordan and Lei 2021, arXiv 2110.01052) with split fixed
sequence testing, because precision need not rise with the threshold:

1. The judged queries are split by the seed: a fifth are pilots, the others test.
2. The pilots' best relevances are the thresholds. The pilots also decide the order of the tests: those that are most
   likely to pass come first.
3. The other queries test the thresholds in this order, up to the first failure. Each test has the whole error rate,
   because it counts only if all tests before it passed, and the order does not depend on the tested queries.
4. The smallest threshold that passed is chosen. All that passed hold together with the stated confidence.

A test is exact for any number of queries. Passages of one query are not independent, so a query is one trial: one of
the passages that it would show is drawn by the seed, and counts as relevant or not. The chance of "relevant" is then
the expected share of relevant passages in an answer that shows any. A threshold passes if the lower bound of Clopper
and Pearson (1934) for that chance is at least the wanted precision.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

PILOT_SHARE: Final = 0.2  # of the queries
CONFIDENCE: Final = 0.95
QUERIES_MIN: Final = 20  # of which 16 test; a precision of 0.8 needs 14 successes of 14
_HALVINGS: Final = 60  # of the interval that holds a bound; more change no bit of a float64


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPassage:
    """A passage that a search found."""

    relevance: float
    is_relevant: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedAnswer:
    """What a search found for a judged query, in the order of the answer."""

    query_id: str
    passages: tuple[JudgedPassage, ...]

    def shown(self, threshold: float, *, top_k: int) -> list[JudgedPassage]:
        """Return what a search with this `min_relevance` shows."""
        return [each for each in self.passages if each.relevance >= threshold][:top_k]

    @property
    def best(self) -> float | None:
        """The highest relevance; None if nothing was found."""
        return max((each.relevance for each in self.passages), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What is wanted of a threshold."""

    precision: float  # in (0, 1)
    confidence: float = CONFIDENCE
    top_k: int = 10  # passages that an answer shows at most
    seed: int = 2026


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """A threshold, and what the queries say about it."""

    threshold: float
    queries: int  # all of them
    answered: int  # queries with a passage above the threshold: one trial each
    relevant: int  # trials whose passage is relevant
    confidence: float
    precision: float | None  # mean share of relevant passages over the answered queries; None: there are none
    shown: int  # passages above the threshold
    kept: float | None  # share of the relevant passages, of those shown without a threshold; None: there are none

    @property
    def lower(self) -> float:
        """The bound of the precision."""
        return lower_bound(self.relevant, self.answered, confidence=self.confidence)

    @property
    def coverage(self) -> float:
        """Share of the queries that still show something."""
        return self.answered / self.queries


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """The outcome of a calibration."""

    chosen: Tested | None  # None: the promise cannot be given
    tests: tuple[Tested, ...]  # in order; only the last one may have failed
    pilots: int
    tested: int  # queries


def calibrate(answers: Sequence[JudgedAnswer], promise: Promise) -> Calibrated:
    """Find the smallest threshold for which the promise holds. Raises `ValueError` for fewer than two answers."""
    pilots, others = split(answers, promise.seed)
    tests: list[Tested] = []
    chosen = None
    for threshold in _sequence(pilots, len(others), promise):
        tests.append(found := examine(others, threshold, promise))
        if not passes(found, promise):
            break
        chosen = found if chosen is None or threshold < chosen.threshold else chosen
    return Calibrated(chosen=chosen, tests=tuple(tests), pilots=len(pilots), tested=len(others))


def split(answers: Sequence[JudgedAnswer], seed: int) -> tuple[list[JudgedAnswer], list[JudgedAnswer]]:
    """Draw the pilots. The split depends on the ids and the seed, not on the order."""
    if len(answers) < 2:
        raise ValueError("a calibration needs at least two answers")
    drawn = sorted(answers, key=lambda each: _digest(seed, each.query_id))
    count = max(1, round(PILOT_SHARE * len(drawn)))
    return drawn[:count], drawn[count:]


def examine(answers: Sequence[JudgedAnswer], threshold: float, promise: Promise) -> Tested:
    """Look at what these queries show above a threshold."""
    shown = [each.shown(threshold, top_k=promise.top_k) for each in answers]
    trials = [
        _drawn(each, passages, promise.seed).is_relevant
        for each, passages in zip(answers, shown, strict=True)
        if passages
    ]
    all_relevant = sum(_relevant(each.shown(0.0, top_k=promise.top_k)) for each in answers)
    shares = [_relevant(passages) / len(passages) for passages in shown if passages]
    return Tested(
        threshold=threshold,
        queries=len(answers),
        answered=len(trials),
        relevant=sum(trials),
        confidence=promise.confidence,
        precision=math.fsum(shares) / len(shares) if shares else None,
        shown=sum(map(len, shown)),
        kept=sum(map(_relevant, shown)) / all_relevant if all_relevant else None,
    )


def passes(tested: Tested, promise: Promise) -> bool:
    """Whether the lower bound reaches the precision."""
    chance = tail(tested.relevant, tested.answered, promise.precision)
    return tested.answered > 0 and chance <= 1.0 - promise.confidence


def tail(successes: int, trials: int, chance: float) -> float:
    """How likely it is to see at least so many successes, if each trial succeeds with this chance."""
    if successes <= 0:
        return 1.0
    if chance <= 0.0 or chance >= 1.0:
        return 1.0 if chance >= 1.0 else 0.0
    win, lose = math.log(chance), math.log1p(-chance)
    ways = (
        math.lgamma(trials + 1)
        - math.lgamma(won + 1)
        - math.lgamma(trials - won + 1)
        + won * win
        + (trials - won) * lose
        for won in range(successes, trials + 1)
    )
    return min(1.0, math.fsum(map(math.exp, ways)))


def lower_bound(successes: int, trials: int, *, confidence: float = CONFIDENCE) -> float:
    """The one-sided bound of Clopper and Pearson: the smallest chance that does not make this result too unlikely."""
    low, high = 0.0, successes / trials if trials else 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if tail(successes, trials, middle) > 1.0 - confidence else (middle, high)
    return low


def queries_needed(promise: Promise) -> int:
    """How many queries have to show something relevant, and nothing else, for a threshold to pass."""
    return math.ceil(math.log(1.0 - promise.confidence) / math.log(promise.precision))


def _sequence(pilots: Sequence[JudgedAnswer], others: int, promise: Promise) -> list[float]:
    """Return the thresholds to test, those first that are most likely to pass."""
    thresholds = sorted({each.best for each in pilots if each.best is not None}, reverse=True)
    lowest = min((each.relevance for answer in pilots for each in answer.passages), default=None)
    if lowest is not None and lowest < thresholds[-1]:
        thresholds.append(lowest)
    return sorted(
        thresholds, key=lambda each: (_expected_chance(examine(pilots, each, promise), others, promise), each)
    )


def _expected_chance(seen: Tested, others: int, promise: Promise) -> float:
    """How unlikely the tested queries will probably look without the precision, going by the pilots."""
    trials = round(seen.coverage * others)
    share = ((seen.precision or 0.0) * seen.answered + promise.precision) / (seen.answered + 1)  # one more, as wanted
    return tail(math.floor(share * trials), trials, promise.precision)


def _drawn(answer: JudgedAnswer, shown: Sequence[JudgedPassage], seed: int) -> JudgedPassage:
    """Draw one of the shown passages, each with the same chance."""
    number = int.from_bytes(_digest(seed, f"trial {len(shown)} {answer.query_id}")[:8], "big")
    return shown[number * len(shown) >> 64]


def _relevant(passages: Iterable[JudgedPassage]) -> int:
    return sum(each.is_relevant for each in passages)


def _digest(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed} {text}".encode("utf-8", "surrogatepass")).digest()
