"""Compares each pair of runs of an evaluation, measure by measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TypeAlias

from winnow.api.schemas.evaluation import EvalComparison
from winnow.retrieval.significance import DRAWS, SEED, compare, holm

Values: TypeAlias = Mapping[str, Mapping[str, Sequence[float]]]  # run -> measure -> a value for each query


def compared(values: Values) -> list[EvalComparison]:
    """Compare all pairs of runs: the later one minus the earlier one, in the order of the measures."""
    measures = list(next(iter(values.values()), {}))
    return [each for measure in measures for each in _of_measure(values, measure)]


def _of_measure(values: Values, measure: str) -> list[EvalComparison]:
    pairs = list(combinations(values, 2))
    differences = [compare(values[run][measure], values[against][measure]) for against, run in pairs]
    adjusted = holm([each.p for each in differences])
    return [
        EvalComparison(
            measure=measure,
            run=run,
            against=against,
            mean=each.mean,
            low=each.low,
            high=each.high,
            p=each.p,
            p_holm=p_holm,
            exact=each.is_exact,
            draws=DRAWS,
            seed=SEED,
            queries=each.queries,
        )
        for (against, run), each, p_holm in zip(pairs, differences, adjusted, strict=True)
    ]
