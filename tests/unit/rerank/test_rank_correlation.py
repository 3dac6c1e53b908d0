"""How two orders agree, beside the definitions written out by hand."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.rerank.rank_correlation import kendall_tau_b, overlap, rank_biased_overlap

ORDERS = st.integers(1, 12).flatmap(lambda size: st.tuples(*[st.permutations(range(size))] * 2))
SCORES = st.lists(st.tuples(*[st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9])] * 2), max_size=9)


def tau_by_pairs(one: list[float], other: list[float]) -> float | None:
    """Kendall's own way: look at every pair."""
    same = opposite = tied_one = tied_other = 0
    for a, b in itertools.combinations(range(len(one)), 2):
        tied_one += one[a] == one[b]
        tied_other += other[a] == other[b]
        if one[a] != one[b] and other[a] != other[b]:
            is_same = (one[a] < one[b]) == (other[a] < other[b])
            same, opposite = same + is_same, opposite + (not is_same)
    pairs = math.comb(len(one), 2)
    below = math.sqrt((pairs - tied_one) * (pairs - tied_other))
    return (same - opposite) / below if below else None


def rbo_by_depths(one: list[int], other: list[int], p: float) -> float:
    """The infinite sum, as far as a double can tell, with the agreement of the last place below it."""
    agreements = [len(set(one[:depth]) & set(other[:depth])) / depth for depth in range(1, len(one) + 1)]
    agreements += [agreements[-1]] * 2_000
    return (1 - p) * math.fsum(p**at * agreement for at, agreement in enumerate(agreements))


@given(SCORES)
def test_tau_is_what_looking_at_every_pair_gives(scores: list[tuple[float, float]]) -> None:
    one, other = [each[0] for each in scores], [each[1] for each in scores]
    expected = tau_by_pairs(one, other)
    assert kendall_tau_b(one, other) == (None if expected is None else pytest.approx(expected, abs=1e-12))


@given(ORDERS, st.sampled_from([0.5, 0.9, 0.98]))
def test_rbo_is_the_sum_over_all_depths(orders: tuple[list[int], list[int]], p: float) -> None:
    one, other = orders
    assert rank_biased_overlap(one, other, persistence=p) == pytest.approx(rbo_by_depths(one, other, p), abs=1e-9)
    assert rank_biased_overlap(one, other, persistence=p) == rank_biased_overlap(other, one, persistence=p)
    assert rank_biased_overlap(one, one, persistence=p) == pytest.approx(1.0)


@given(st.permutations(range(6)), st.permutations(range(8)))
def test_rbo_of_orders_of_different_candidates(one: list[int], longer: list[int]) -> None:
    """Not only of permutations: the first places of longer orders."""
    other = longer[: len(one)]
    assert rank_biased_overlap(one, other) == pytest.approx(rbo_by_depths(one, other, 0.9), abs=1e-9)


@given(ORDERS, st.integers(1, 15))
def test_overlap_counts_what_is_common(orders: tuple[list[int], list[int]], depth: int) -> None:
    one, other = orders
    common = sum(candidate in other[:depth] for candidate in one[:depth])
    assert overlap(one, other, depth) == common / min(depth, len(one))


def test_known_values() -> None:
    """Worked out on paper."""
    assert kendall_tau_b([3, 2, 1], [1, 2, 3]) == -1.0
    assert kendall_tau_b([3, 2, 1], [3, 1, 2]) == pytest.approx(1 / 3)
    assert rank_biased_overlap("ab", "ba", persistence=0.5) == pytest.approx(0.5)  # (0 + 1/2 + 1/4 + ...) / 2
    assert overlap("abc", "cde", 2) == 0.0
    assert overlap("abc", "cab", 2) == 0.5


def test_nothing_to_compare() -> None:
    """One candidate has no order; no candidate is the same answer."""
    assert kendall_tau_b([0.5], [0.1]) is None
    assert (overlap([], [], 10), rank_biased_overlap([], [])) == (1.0, 1.0)
