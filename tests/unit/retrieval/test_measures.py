"""retrieval/measures.py, compared with values worked out by hand and with the definition written another way."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.measures import parse

GRADES = {"a": 2, "b": 1, "c": 0, "d": 1}


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("nDCG@10", "nDCG@10"), ("ndcg@3", "nDCG@3"), ("R@100", "Recall@100"), ("recall@1", "Recall@1"),
        ("MRR@10", "MRR@10"), ("RR@5", "MRR@5"), (" nDCG@10 ", "nDCG@10"),
    ],
)  # fmt: skip
def test_a_measure_prints_as_it_is_written(spelling: str, canonical: str) -> None:
    """Short and long names, in upper and lower case; what is printed can be parsed again."""
    assert str(parse(spelling)) == canonical
    assert parse(canonical) == parse(spelling)


@pytest.mark.parametrize("spelling", ["", "nDCG", "nDCG@", "nDCG@0", "nDCG@-1", "nDCG@ten", "P@10", "@10", "nDCG@10@2"])
def test_what_is_no_measure_is_refused(spelling: str) -> None:
    """The message shows what can be written instead."""
    with pytest.raises(InvalidRequest, match="write nDCG@10"):
        parse(spelling)


def test_ndcg_by_hand() -> None:
    """Linear gain: 1/log2(2) + 0 + 2/log2(4) over 2/log2(2) + 1/log2(3) + 1/log2(4)."""
    ideal = 2 / 1 + 1 / math.log2(3) + 1 / 2
    assert parse("nDCG@10").of(["b", "x", "a"], GRADES) == pytest.approx((1 + 2 / 2) / ideal)
    assert parse("nDCG@10").of(["a", "b", "d"], GRADES) == pytest.approx(1.0)
    assert parse("nDCG@1").of(["b", "a"], GRADES) == pytest.approx(0.5)


def test_recall_by_hand() -> None:
    """Grade 0 and documents without a judgment are not relevant."""
    assert parse("R@2").of(["c", "a", "b"], GRADES) == pytest.approx(1 / 3)
    assert parse("R@3").of(["c", "a", "b"], GRADES) == pytest.approx(2 / 3)
    assert parse("R@100").of(["x", "d", "b", "a"], GRADES) == 1.0


def test_mrr_by_hand() -> None:
    """The first relevant document counts, and only within the depth."""
    assert parse("MRR@10").of(["c", "x", "d", "a"], GRADES) == pytest.approx(1 / 3)
    assert parse("MRR@2").of(["c", "x", "d", "a"], GRADES) == 0.0


@pytest.mark.parametrize("spelling", ["nDCG@10", "Recall@10", "MRR@10"])
def test_a_query_without_a_ranking_counts_as_zero(spelling: str) -> None:
    """It is not left out; a query that nobody could answer is."""
    judgments = {"found": {"a": 1}, "missed": {"b": 1}, "unanswerable": {"c": 0}, "unjudged": {}}
    rankings = {"found": ["a"], "unanswerable": ["c"], "not judged at all": ["a"]}
    assert parse(spelling).mean(rankings, judgments) == pytest.approx(0.5)
    assert parse(spelling).mean({}, {}) == 0.0


RANKING = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)
JUDGMENTS = st.dictionaries(st.sampled_from("abcdefghij"), st.integers(0, 4), max_size=10)


@given(ranking=RANKING, judgments=JUDGMENTS, depth=st.integers(1, 12))
def test_every_measure_lies_between_nothing_and_everything(
    ranking: list[str], judgments: dict[str, int], depth: int
) -> None:
    """And the best order of all documents has an nDCG of 1 wherever anything is relevant."""
    for name in ("nDCG", "Recall", "MRR"):
        assert 0.0 <= parse(f"{name}@{depth}").of(ranking, judgments) <= 1.0 + 1e-12
    best = sorted(judgments, key=lambda document: -judgments[document])
    expected = 1.0 if any(grade > 0 for grade in judgments.values()) else 0.0
    assert parse(f"nDCG@{depth}").of(best, judgments) == pytest.approx(expected)


@given(ranking=RANKING, judgments=JUDGMENTS, depth=st.integers(1, 12))
def test_ndcg_agrees_with_the_sum_over_positions(ranking: list[str], judgments: dict[str, int], depth: int) -> None:
    """The definition, position by position."""
    gained = sum(judgments.get(ranking[i], 0) / math.log2(i + 2) for i in range(min(depth, len(ranking))))
    grades = sorted(judgments.values(), reverse=True)
    possible = sum(grades[i] / math.log2(i + 2) for i in range(min(depth, len(grades))))
    assert parse(f"nDCG@{depth}").of(ranking, judgments) == pytest.approx(gained / possible if possible else 0.0)
