"""Figures of runs beyond their means: curves, differences of the queries, movement of relevant documents, times."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from winnow.api.cli.evaluation.asking import Answered, Cost, Run
from winnow.api.cli.evaluation.cases import Case
from winnow.api.schemas.evaluation import (
    EvalCurve,
    EvalDifferences,
    EvalMovement,
    EvalPercentiles,
    EvalTimings,
    EvalTokens,
)
from winnow.indexer.readers.beir import Judgments
from winnow.retrieval.measures import Measure

CUTOFFS: Final = (1, 2, 3, 5, 10, 20, 50, 100)
DEPTHS: Final = (0, 1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000)
BANDS: Final = (1, 3, 10, 30, 100)  # last rank of each band
_BINS: Final = 20  # from -1 to 1
_NO_DIFFERENCE: Final = 1e-12  # sums of equal terms in another order differ by less
_MS_PER_HOUR: Final = 3_600_000.0
_QUERIES_PRICED: Final = 1_000


def by_cutoff(run: Run, cases: Sequence[Case], judgments: Judgments, measure: Measure, *, deepest: int) -> EvalCurve:
    """The measure at each depth, as far down as the run goes."""
    depths = [each for each in CUTOFFS if each <= deepest]
    means = [
        _mean([Measure(measure.name, depth).of(list(run.get(case.id, ())), judgments[case.id]) for case in cases])
        for depth in depths
    ]
    return EvalCurve(measure=measure.name, x=depths, y=means)


def by_reranked(
    answers: Sequence[Answered], cases: Sequence[Case], judgments: Judgments, measure: Measure, *, candidates: int
) -> EvalCurve | None:
    """The measure, had fewer candidates been reranked. A score does not depend on the other candidates."""
    places = [each.places for each in answers]
    known = [each for each in places if each is not None]
    if len(known) < len(places):
        return None
    reached = min(candidates, max(len(each.reranked) for each in known))
    depths = [*(each for each in DEPTHS if each < reached), reached]
    means = [
        _mean([measure.of(each.at_depth(depth), judgments[case.id]) for each, case in zip(known, cases, strict=True)])
        for depth in depths
    ]
    return EvalCurve(measure=str(measure), x=depths, y=means)


def differences(values: Sequence[float], first: Sequence[float], *, against: str, measure: str) -> EvalDifferences:
    """Count the queries by their difference to the first run."""
    found = [one - other for one, other in zip(values, first, strict=True)]
    moved = [each for each in found if abs(each) > _NO_DIFFERENCE]
    counts, edges = np.histogram(np.clip(moved, -1.0, 1.0), bins=_BINS, range=(-1.0, 1.0))
    return EvalDifferences(
        against=against,
        measure=measure,
        edges=[round(each, 6) for each in edges.tolist()],
        counts=counts.tolist(),
        wins=sum(each > 0 for each in moved),
        ties=len(found) - len(moved),
        losses=sum(each < 0 for each in moved),
    )


def movement(run: Run, first: Run, cases: Sequence[Case], judgments: Judgments, *, against: str) -> EvalMovement:
    """Count the relevant documents by their places in both runs."""
    counts = [[0] * (len(BANDS) + 1) for _ in range(len(BANDS) + 1)]
    up = down = same = 0
    for case in cases:
        before, after = _ranks(first, case), _ranks(run, case)
        for document in (each for each, grade in judgments[case.id].items() if grade > 0):
            one, other = before.get(document, math.inf), after.get(document, math.inf)
            counts[bisect_left(BANDS, one)][bisect_left(BANDS, other)] += 1
            up, down, same = up + (other < one), down + (other > one), same + (other == one)
    return EvalMovement(against=against, bands=band_names(), counts=counts, up=up, down=down, same=same)


def band_names() -> list[str]:
    """`1`, `2-3`, ... and what is below the last band or was not found."""
    starts = [1, *(each + 1 for each in BANDS)]
    return [*(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, BANDS, strict=False)), f"below {BANDS[-1]}"]


def timings(costs: Sequence[Cost]) -> EvalTimings:
    """Percentiles of each stage."""
    reranked = [each.rerank_ms for each in costs if each.rerank_ms is not None]
    return EvalTimings(
        embed=_percentiles(costs, lambda each: each.embed_ms),
        recall=_percentiles(costs, lambda each: each.recall_ms),
        fetch=_percentiles(costs, lambda each: each.fetch_ms),
        rerank=_percentiles(costs, lambda each: each.rerank_ms or 0.0) if reranked else None,
        total=_percentiles(costs, lambda each: each.total_ms),
    )


def tokens(costs: Sequence[Cost]) -> EvalTokens:
    return EvalTokens(
        embed=_mean([each.embed_tokens for each in costs]), rerank=_mean([each.rerank_tokens for each in costs])
    )


def cost_per_1000(costs: Sequence[Cost], gpu_hour_price: float) -> float:
    """What 1,000 queries cost, one after the other on one GPU that does nothing else."""
    return _mean([each.total_ms for each in costs]) * _QUERIES_PRICED / _MS_PER_HOUR * gpu_hour_price


def _percentiles(costs: Sequence[Cost], of: Callable[[Cost], float]) -> EvalPercentiles:
    p50, p90, p99 = np.percentile([of(each) for each in costs], (50, 90, 99)).tolist()
    return EvalPercentiles(p50=p50, p90=p90, p99=p99)


def _ranks(run: Run, case: Case) -> Mapping[str, int]:
    return {document: rank for rank, document in enumerate(run.get(case.id, ()), start=1)}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
