"""The report of a shadow: how much its orders differ from those that callers saw. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from winnow.retrieval.catalog.shadows import Agreement, Comparison, Outcome, Shadow, VersionPair

PAIRS_MAX: Final = 20  # newest pairs in a report; every edit of a draft adds one
EXAMPLES_MAX: Final = 5  # most changed searches per pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The distribution of a measure over many searches. Percentiles interpolate like numpy's."""

    mean: float
    p10: float  # a tenth of the searches are below
    p50: float
    p90: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self | None:
        """Return the distribution, or None without values."""
        if not values:
            return None
        p10, p50, p90 = np.percentile(values, [10, 50, 90])
        return cls(mean=float(np.mean(values)), p10=float(p10), p50=float(p50), p90=float(p90))


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFigures:
    """The figures of all searches compared for one pair of versions."""

    pair: VersionPair
    searches: int
    overlap: Spread | None
    tau: Spread | None  # None: no search had an order
    rbo: Spread | None
    top_changed: float  # share of the searches, in [0, 1]
    most_changed: tuple[int, ...]  # numbers of outcomes, the lowest RBO first


@dataclass(frozen=True, slots=True, kw_only=True)
class PairReport:
    """The figures of a pair, with its most changed searches."""

    figures: PairFigures
    examples: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowReport:
    """The whole report of one name's shadow."""

    name: str
    shadow: Shadow | None  # None: the shadow has ended
    pairs: tuple[PairReport, ...]  # the last compared pair first


def figures_of(outcomes: Sequence[Outcome]) -> tuple[PairFigures, ...]:
    """Return figures by pair, the last compared pair first, at most `PAIRS_MAX`."""
    by_pair: dict[VersionPair, list[Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda each: -each.number):
        by_pair.setdefault(outcome.pair, []).append(outcome)
    return tuple(_figures(pair, found) for pair, found in list(by_pair.items())[:PAIRS_MAX])


def _figures(pair: VersionPair, outcomes: Sequence[Outcome]) -> PairFigures:
    def spread(measure: Callable[[Agreement], float | None]) -> Spread | None:
        return Spread.of([value for each in outcomes if (value := measure(each.agreement)) is not None])

    most_changed = sorted(outcomes, key=lambda each: (each.agreement.rbo, -each.number))[:EXAMPLES_MAX]
    return PairFigures(
        pair=pair,
        searches=len(outcomes),
        overlap=spread(lambda each: each.overlap),
        tau=spread(lambda each: each.tau),
        rbo=spread(lambda each: each.rbo),
        top_changed=sum(each.agreement.top_changed for each in outcomes) / len(outcomes),
        most_changed=tuple(each.number for each in most_changed),
    )
