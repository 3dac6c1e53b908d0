"""retrieval/concurrency/token_bucket.py: so much a minute, and when there is more."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.retrieval.concurrency.token_bucket import TokenBucket

gaps = st.lists(st.floats(min_value=0.0, max_value=40.0), min_size=1, max_size=80)


@settings(deadline=None)
@given(gaps, st.integers(1, 20))
def test_in_no_stretch_is_more_let_through_than_a_minute_s_worth_and_what_it_earns(
    pauses: Sequence[float], per_minute: int
) -> None:
    """Counted over every stretch between two that were let through; and somebody is let through at all."""
    spending, now, let_through = TokenBucket(), 0.0, []
    for pause in pauses:
        now += pause
        if not spending.wait_seconds(1, per_minute=per_minute, now=now):
            spending.spend(1, per_minute=per_minute, now=now)
            let_through.append(now)
    assert let_through
    for first, began in enumerate(let_through):
        for last in range(first, len(let_through)):
            earned = per_minute * (let_through[last] - began) / 60
            assert last - first + 1 <= per_minute + earned + 1e-6


@settings(deadline=None)
@given(gaps, st.integers(1, 20), st.integers(1, 60))
def test_who_waits_as_long_as_was_said_is_let_through_and_not_sooner(
    pauses: Sequence[float], per_minute: int, amount: int
) -> None:
    """The wait is exact: a little less is too little. More than a minute's worth counts as a minute's worth."""
    spending, now = TokenBucket(), 0.0
    for pause in pauses:
        now += pause
        wait = spending.wait_seconds(amount, per_minute=per_minute, now=now)
        if wait > 0.01:
            assert spending.wait_seconds(amount, per_minute=per_minute, now=now + 0.9 * wait) > 0
        now += wait
        assert spending.wait_seconds(amount, per_minute=per_minute, now=now) == pytest.approx(0, abs=1e-6)
        spending.spend(amount, per_minute=per_minute, now=now)


def test_a_debt_is_waited_for() -> None:
    """What was known only afterwards: three minutes' worth at once is two minutes and a bit until the next."""
    spending = TokenBucket()
    spending.spend(300, per_minute=100, now=0.0)
    assert spending.wait_seconds(1, per_minute=100, now=0.0) == pytest.approx(120.6)
    assert spending.wait_seconds(1, per_minute=200, now=30.0) == pytest.approx(0.3), "a new rate holds from now on"
