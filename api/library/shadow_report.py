"""What came of a shadow: how much its orders differ from those that callers saw. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from winnow.retrieval.catalog.shadows import Agreement, Comparison, Outcome, Shadow, VersionPair

PAIRS_MAX: Final = 20  # of a report, the newest; every edit of a draft makes another
EXAMPLES_MAX: Final = 5  # of each pair, those that changed most


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Of one measure over many searches. Percentiles lie between neighbours as numpy's do."""

    mean: float
    p10: float  # a tenth of the searches are below
    p50: float
    p90: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self | None:
        """None of nothing."""
        if not values:
            return None
        p10, p50, p90 = np.percentile(values, [10, 50, 90])
        return cls(mean=float(np.mean(values)), p10=float(p10), p50=float(p50), p90=float(p90))


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFigures:
    """All searches that one pair of versions was compared by."""

    pair: VersionPair
    searches: int
    overlap: Spread | None
    tau: Spread | None  # None: nowhere was there an order
    rbo: Spread | None
    top_changed: float  # share of the searches, in [0, 1]
    most_changed: tuple[int, ...]  # numbers of outcomes, the lowest RBO first


@dataclass(frozen=True, slots=True, kw_only=True)
class PairReport:
    """The same, with the searches that changed most."""

    figures: PairFigures
    examples: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowReport:
    """Everything that came of the shadow of one name."""

    name: str
    shadow: Shadow | None  # None: it has ended
    pairs: tuple[PairReport, ...]  # what was compared last first


def figures_of(outcomes: Sequence[Outcome]) -> tuple[PairFigures, ...]:
    """By pair, that which was compared last first, at most `PAIRS_MAX`."""
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
