"""retrieval/significance.py, compared with all patterns of signs counted one by one, and with tables made by hand."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.retrieval.significance import DRAWS, compare, holm, loss_beyond, p_of_difference

FIXTURES = {
    "a clear gain": ([0.5, 0.75, 1.0, 0.25, 0.625, 0.5, 1.0, 0.875], [0.25, 0.5, 0.75, 0.25, 0.5, 0.25, 0.5, 0.75]),
    "nothing": ([0.5, 0.25, 1.0, 0.0, 0.75, 0.5], [0.25, 0.5, 0.75, 0.25, 0.5, 0.75]),
    "many ties": ([0.5] * 40 + [1.0, 0.75, 0.5, 1.0, 0.125], [0.5] * 40 + [0.5, 0.5, 0.25, 0.0, 0.25]),
}  # eighths, which fractions and floats hold alike


def counted(ours: list[float], theirs: list[float]) -> Fraction:
    """The definition in exact arithmetic: the share of all patterns of signs with a sum as far from 0."""
    differences = [Fraction(one) - Fraction(other) for one, other in zip(ours, theirs, strict=True) if one != other]
    seen = abs(sum(differences))
    sums = [
        abs(sum(sign * each for sign, each in zip(signs, differences, strict=True)))
        for signs in product((-1, 1), repeat=len(differences))
    ]
    return Fraction(sum(each >= seen for each in sums), len(sums))


@pytest.mark.parametrize("name", FIXTURES)
def test_p_is_that_of_all_patterns_of_signs(name: str) -> None:
    found = compare(*FIXTURES[name])
    assert found.is_exact
    assert found.p == float(counted(*FIXTURES[name]))
    assert found.mean == pytest.approx(np.mean(FIXTURES[name][0]) - np.mean(FIXTURES[name][1]))
    assert found.low <= found.mean <= found.high


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=9))
def test_p_of_any_pairs_is_that_of_all_patterns(pairs: list[tuple[int, int]]) -> None:
    ours, theirs = [one / 8 for one, _ in pairs], [other / 8 for _, other in pairs]
    assert compare(ours, theirs).p == float(counted(ours, theirs))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_drawn_signs_come_close_to_all_patterns(seed: int) -> None:
    """Of 15 queries there are more patterns than draws."""
    differences = np.random.default_rng(seed).normal(0.08, 0.2, 15)
    signs = np.array(list(product((-1, 1), repeat=15)))
    exact = np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12)
    found = compare(differences.tolist(), [0.0] * 15)
    assert not found.is_exact
    assert found.p == pytest.approx(exact, abs=0.015)  # three standard errors of 10,000 draws are at most 0.015


def test_the_interval_is_that_of_the_mean() -> None:
    """Of many differences the bootstrap agrees with the normal approximation."""
    differences = np.random.default_rng(4).normal(0.02, 0.3, 2_000)
    found = compare(differences.tolist(), [0.0] * 2_000)
    half = 1.96 * differences.std() / np.sqrt(2_000)
    assert found.low == pytest.approx(found.mean - half, abs=0.001)
    assert found.high == pytest.approx(found.mean + half, abs=0.001)


def test_the_same_seed_gives_the_same_figures() -> None:
    ours = np.random.default_rng(5).random(50).tolist()
    theirs = np.random.default_rng(6).random(50).tolist()
    assert compare(ours, theirs, seed=1) == compare(ours, theirs, seed=1)
    assert compare(ours, theirs, seed=1).mean == -compare(theirs, ours, seed=1).mean
    assert compare(ours, theirs, seed=1).low != compare(ours, theirs, seed=2).low


def test_equal_orders_are_no_difference() -> None:
    found = compare([0.5] * 30, [0.5] * 30)
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert not found.is_gain
    assert not found.is_loss


def test_drawn_p_is_never_zero() -> None:
    assert p_of_difference(np.ones(200)) == 1 / (DRAWS + 1)


@pytest.mark.parametrize(
    ("ps", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5, 0.6, 0.7], [1.0, 1.0, 1.0]),
        ([0.01, 0.01], [0.02, 0.02]),
    ],
)
def test_holm_by_hand(ps: list[float], adjusted: list[float]) -> None:
    """The smallest p times their number, the next one times one less, and none below the one before it."""
    assert holm(ps) == pytest.approx(adjusted)


def test_chance_is_called_a_difference_as_rarely_as_promised() -> None:
    """Of 400 comparisons of orders that are equally good, about 5 % have p < 0.05."""
    drawn = np.random.default_rng(7)
    ps = [p_of_difference(drawn.normal(0, 1, 10)) for _ in range(400)]
    assert 0.02 <= np.mean(np.array(ps) < 0.05) <= 0.08


@pytest.mark.parametrize("bound", [0.0, 0.125, 0.25])
@pytest.mark.parametrize("name", ["a clear gain", "nothing"])
def test_p_of_a_loss_is_one_sided_and_counts_from_the_bound(name: str, bound: float) -> None:
    """Again all patterns of signs in exact arithmetic, of what each query lost beyond the bound."""
    before, now = FIXTURES[name]
    excess = [Fraction(one) - Fraction(other) - Fraction(bound) for one, other in zip(before, now, strict=True)]
    sums = [
        sum(sign * each for sign, each in zip(signs, excess, strict=True))
        for signs in product((-1, 1), repeat=len(excess))
    ]
    found = loss_beyond(before, now, bound=bound)
    assert found.p == sum(each >= sum(excess) for each in sums) / len(sums)
    assert found.is_beyond == (found.mean > bound and found.p < 0.05)


def test_a_loss_of_the_smallest_size_is_just_shown() -> None:
    """A tenth more is shown, a tenth less is not, with differences as large as before."""
    drawn = np.random.default_rng(8)
    before, noise = drawn.random(200), drawn.normal(0, 0.1, 200)
    noise -= noise.mean()
    smallest = loss_beyond(before.tolist(), (before - noise).tolist(), bound=0.01).smallest
    assert smallest is not None
    beyond = smallest - 0.01
    for factor, is_shown in ((1.1, True), (0.9, False)):
        now = before - noise - 0.01 - factor * beyond
        assert loss_beyond(before.tolist(), now.tolist(), bound=0.01).is_beyond is is_shown


def test_too_few_queries_show_no_loss() -> None:
    """Four have 16 patterns of signs: p is never below 0.05. Five have 32."""
    assert not loss_beyond([1.0] * 4, [0.0] * 4, bound=0.0).is_beyond
    assert loss_beyond([1.0] * 4, [0.0] * 4, bound=0.0).smallest is None
    assert loss_beyond([1.0] * 5, [0.0] * 5, bound=0.0).is_beyond


def test_equal_figures_have_the_spread_of_orders_with_nothing_in_common() -> None:
    before = np.random.default_rng(9).random(100)
    found = loss_beyond(before.tolist(), before.tolist(), bound=0.01)
    assert not found.is_beyond
    assert found.smallest == pytest.approx(0.01 + 1.645 * np.sqrt(2) * before.std() / 10, rel=0.01)
