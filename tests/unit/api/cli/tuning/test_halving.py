"""Successive halving: what is tried, and that it costs what was announced."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.api.cli.tuning.halving import ROUND_QUERIES_MIN, better_half, cost, halves, rounds


def test_eight_wordings_on_64_queries() -> None:
    """The rounds double the queries; what was tried is not tried again."""
    planned = rounds(8, 64)
    assert [(each.wordings, each.queries) for each in planned] == [(8, 16), (4, 32), (2, 64)]
    found = cost(planned, confirming=64)
    assert found.choosing == 8 * 16 + 4 * 16 + 2 * 32 + 64  # and the instruction in use on all
    assert found.confirming == 2 * 64
    assert found.rerankings == 448


@settings(deadline=None)
@given(st.integers(1, 256), st.integers(10, 2_000))
def test_the_cost_is_bounded_and_all_wordings_end_on_all_queries(wordings: int, queries: int) -> None:
    """At most twice the wordings' share of the rounds; trying all on all would cost wordings times queries."""
    planned = rounds(wordings, queries)
    assert planned[0].wordings == wordings
    assert planned[-1].wordings <= 2
    assert planned[-1].queries == queries
    for before, after in pairwise(planned):
        assert after.wordings == -(-before.wordings // 2)
        assert before.queries <= after.queries
        assert before.queries >= min(ROUND_QUERIES_MIN, queries)
    tried, simulated = 0, 0
    for each in planned:
        simulated += each.wordings * (each.queries - tried)
        tried = each.queries
    found = cost(planned, confirming=queries)
    assert found.choosing == simulated + queries
    assert found.choosing <= wordings * queries + queries


@settings(deadline=None)
@given(st.sets(st.text(min_size=1), min_size=2), st.integers(0, 9))
def test_every_query_is_in_one_half(ids: set[str], seed: int) -> None:
    choosing, confirming = halves(ids, seed)
    assert set(choosing) | set(confirming) == ids
    assert not set(choosing) & set(confirming)
    assert len(confirming) - len(choosing) in {0, 1}
    assert halves(sorted(ids, reverse=True), seed) == (choosing, confirming)


def test_the_best_go_on_and_equal_ones_keep_their_order() -> None:
    assert better_half({"a": 0.1, "b": 0.5, "c": 0.5, "d": 0.4}, 2) == ["b", "c"]
