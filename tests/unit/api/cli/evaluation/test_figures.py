"""Curves, histograms and movements, compared with counts by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.api.cli.evaluation.asking import Answered, Cost, Places
from winnow.api.cli.evaluation.cases import Case
from winnow.api.cli.evaluation.figures import (
    BANDS,
    band_names,
    by_cutoff,
    by_reranked,
    cost_per_1000,
    differences,
    movement,
    timings,
    tokens,
)
from winnow.retrieval.measures import parse

CASES = [Case(id="q1", text="x"), Case(id="q2", text="y")]
JUDGMENTS = {"q1": {"a": 1, "b": 0}, "q2": {"c": 2, "d": 1}}


def cost(rerank_ms: float | None = None, *, recall_ms: float = 10.0) -> Cost:
    return Cost(embed_ms=1.0, recall_ms=recall_ms, fetch_ms=2.0, rerank_ms=rerank_ms, embed_tokens=8, rerank_tokens=100)


def test_a_curve_over_cutoffs_is_the_measure_at_each() -> None:
    run = {"q1": {"b": 2.0, "a": 1.0}, "q2": {"c": 2.0}}
    found = by_cutoff(run, CASES, JUDGMENTS, parse("R@10"), deepest=5)
    assert found == {"measure": "Recall", "x": [1, 2, 3, 5], "y": [0.25, 0.75, 0.75, 0.75]}


def test_a_curve_over_candidates_begins_with_recall() -> None:
    """q1 finds its document once two are reranked; q2 has it first from the beginning."""
    answers = [
        Answered(scored={}, cost=cost(), places=Places(owners=("b", "a"), reranked=(1, 0))),
        Answered(scored={}, cost=cost(), places=Places(owners=("c", "x"), reranked=(0, 1))),
    ]
    found = by_reranked(answers, CASES, JUDGMENTS, parse("MRR@10"), candidates=2)
    assert found == {"measure": "MRR@10", "x": [0, 1, 2], "y": [0.75, 0.75, 1.0]}
    none = Answered(scored={}, cost=cost(), places=None)
    assert by_reranked([answers[0], none], CASES, JUDGMENTS, parse("MRR@10"), candidates=2) is None


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=50))
def test_each_query_that_differs_is_in_one_bin(pairs: list[tuple[int, int]]) -> None:
    ours, theirs = [one / 20 for one, _ in pairs], [other / 20 for _, other in pairs]
    found = differences(ours, theirs, against="recall", measure="nDCG@10")
    assert found["wins"] == sum(one > other for one, other in pairs)
    assert found["losses"] == sum(one < other for one, other in pairs)
    assert found["wins"] + found["ties"] + found["losses"] == len(pairs)
    assert sum(found["counts"]) == found["wins"] + found["losses"]
    assert len(found["edges"]) == len(found["counts"]) + 1


def test_relevant_documents_are_counted_by_their_places_in_both() -> None:
    """a rises from 4 to 1, c stays, d is lost; b is not relevant."""
    first = {"q1": dict.fromkeys(["x", "b", "y", "a"], 0.0), "q2": {"c": 1.0, "d": 0.5}}
    run = {"q1": {"a": 1.0, "b": 0.5}, "q2": {"c": 1.0}}
    found = movement(run, first, CASES, JUDGMENTS, against="recall")
    assert found["bands"] == band_names() == ["1", "2-3", "4-10", "11-30", "31-100", "below 100"]
    assert (found["up"], found["same"], found["down"]) == (1, 1, 1)
    assert {(row, column) for row in range(6) for column in range(6) if found["counts"][row][column]} == {
        (2, 0), (0, 0), (1, len(BANDS)),
    }  # fmt: skip


def test_times_are_percentiles_and_a_stage_that_is_not_there_has_none() -> None:
    """Of 0, 1 ... 100 the percentiles are their own numbers."""
    found = timings([cost(recall_ms=float(each)) for each in range(101)])
    assert found["recall"] == {"p50": 50.0, "p90": 90.0, "p99": 99.0}
    assert found["total"] == {"p50": 53.0, "p90": 93.0, "p99": 102.0}
    assert found["rerank"] is None
    assert timings([cost(5.0)])["rerank"] == {"p50": 5.0, "p90": 5.0, "p99": 5.0}


def test_a_price_is_that_of_the_time() -> None:
    """36 ms each: 1,000 queries take 36 s, a hundredth of an hour."""
    costs = [cost(23.0), cost(23.0)]
    assert cost_per_1000(costs, 4.0) == pytest.approx(0.04)
    assert tokens(costs) == {"embed": 8.0, "rerank": 100.0}
