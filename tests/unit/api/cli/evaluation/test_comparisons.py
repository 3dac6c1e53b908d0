"""Every pair of runs is compared, with one correction for each measure."""

from __future__ import annotations

import pytest

from winnow.api.cli.evaluation.comparisons import compared
from winnow.retrieval.significance import compare, holm

RUNS = {
    "recall": {"nDCG@10": (0.5, 0.25, 0.0, 0.5, 0.75, 0.25), "R@1": (1.0, 0.0, 0.0, 1.0, 1.0, 0.0)},
    "two-stage": {"nDCG@10": (1.0, 0.5, 0.25, 0.75, 1.0, 0.5), "R@1": (1.0, 0.0, 1.0, 1.0, 1.0, 0.0)},
    "rerank": {"nDCG@10": (0.5, 0.5, 0.25, 0.25, 1.0, 0.0), "R@1": (0.0, 0.0, 1.0, 1.0, 1.0, 1.0)},
}


def test_each_pair_of_each_measure_is_compared() -> None:
    """The later run minus the earlier one."""
    found = compared(RUNS)
    pairs = [("two-stage", "recall"), ("rerank", "recall"), ("rerank", "two-stage")]
    assert [(each["measure"], each["run"], each["against"]) for each in found] == [
        (measure, *pair) for measure in ("nDCG@10", "R@1") for pair in pairs
    ]
    assert found[0]["mean"] == pytest.approx(1.75 / 6)
    assert found[0]["p"] == 2 / 2**6  # all six gain
    assert (found[0]["exact"], found[0]["draws"], found[0]["seed"], found[0]["queries"]) == (True, 10_000, 2026, 6)


def test_the_correction_is_over_the_pairs_of_a_measure() -> None:
    found = compared(RUNS)
    for measure in ("nDCG@10", "R@1"):
        of = [each for each in found if each["measure"] == measure]
        alone = [compare(RUNS[each["run"]][measure], RUNS[each["against"]][measure]).p for each in of]
        assert [each["p"] for each in of] == alone
        assert [each["p_holm"] for each in of] == holm(alone)


def test_one_run_has_nothing_to_be_compared_with() -> None:
    assert compared({"recall": RUNS["recall"]}) == []
