"""Thresholds of relevance: the bound is exact, promises hold as often as they say, and no order matters."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom

from winnow.retrieval.calibration import (
    JudgedAnswer,
    JudgedPassage,
    Promise,
    calibrate,
    examine,
    lower_bound,
    passes,
    queries_needed,
    split,
    tail,
)

PROMISE = Promise(precision=0.8, top_k=3, seed=1)


def answer(query_id: str, *passages: tuple[float, bool]) -> JudgedAnswer:
    return JudgedAnswer(
        query_id=query_id,
        passages=tuple(JudgedPassage(relevance=each, is_relevant=relevant) for each, relevant in passages),
    )


def drawn_answers(chances: random.Random, count: int, *, is_relevant_at: object) -> list[JudgedAnswer]:
    """Three passages each, relevant with a chance that depends on their relevance."""
    assert callable(is_relevant_at)
    return [
        answer(f"q{number}", *((x, chances.random() < is_relevant_at(x)) for x in (chances.random() for _ in range(3))))
        for number in range(count)
    ]


@settings(deadline=None)
@given(trials=st.integers(0, 300), share=st.floats(0, 1), chance=st.floats(0.001, 0.999))
def test_the_tail_and_the_bound_are_those_of_scipy(trials: int, share: float, chance: float) -> None:
    successes = round(share * trials)
    assert tail(successes, trials, chance) == pytest.approx(
        binom.sf(successes - 1, trials, chance), rel=1e-9, abs=1e-12
    )
    expected = beta.ppf(0.05, successes, trials - successes + 1) if successes else 0.0
    assert lower_bound(successes, trials) == pytest.approx(expected, abs=1e-9)


def test_as_many_successes_as_needed_pass_and_one_fewer_do_not() -> None:
    """0.8 with 95 % needs 14 of 14."""
    needed = queries_needed(PROMISE)
    assert needed == 14
    for count, expected in ((needed, True), (needed - 1, False)):
        found = examine([answer(f"q{number}", (0.5, True)) for number in range(count)], 0.5, PROMISE)
        assert (found.answered, found.relevant, passes(found, PROMISE)) == (count, count, expected)
    assert not passes(examine([answer("q", (0.1, True))], 0.5, PROMISE), PROMISE)


def test_what_is_shown_is_what_a_search_shows() -> None:
    """In the order of the answer, those that reach the threshold, `top_k` of them."""
    one = answer("q", (0.2, True), (0.9, False), (0.5, True), (0.6, False), (0.7, True))
    assert [each.relevance for each in one.shown(0.5, top_k=3)] == [0.9, 0.5, 0.6]
    found = examine([one, answer("none", (0.1, True))], 0.5, PROMISE)
    assert (found.queries, found.answered, found.shown, found.coverage) == (2, 1, 3, 0.5)
    assert found.precision == pytest.approx(1 / 3)
    assert found.kept == pytest.approx(1 / 3)  # 3 relevant ones are shown without a threshold: 0.2, 0.5 and 0.1


def test_a_clear_threshold_is_found_and_covers_what_it_says() -> None:
    """All relevant above 0.6, none below: the threshold lies just above the last that is not relevant."""
    chances = random.Random(3)
    found = calibrate(drawn_answers(chances, 400, is_relevant_at=lambda x: x > 0.6), PROMISE)
    assert found.chosen is not None
    assert 0.4 < found.chosen.threshold < 0.62
    assert found.chosen.lower >= PROMISE.precision
    held_back = drawn_answers(chances, 2_000, is_relevant_at=lambda x: x > 0.6)
    seen = examine(held_back, found.chosen.threshold, PROMISE)
    assert seen.precision is not None
    assert seen.precision >= PROMISE.precision
    assert seen.coverage == pytest.approx(found.chosen.coverage, abs=0.05)


def test_where_no_threshold_reaches_the_precision_there_is_none() -> None:
    found = calibrate(drawn_answers(random.Random(4), 400, is_relevant_at=lambda x: 0.5), PROMISE)
    assert found.chosen is None
    assert not passes(found.tests[-1], PROMISE)


@pytest.mark.parametrize("shape", [lambda x: 0.5 + 0.35 * x, lambda x: 0.95 if 0.4 < x < 0.6 else 0.72])
def test_a_broken_promise_is_as_rare_as_it_says(shape: object) -> None:
    """Also where precision does not rise with relevance. 200 calibrations, 5 % may be wrong; 9 % is p < 0.02."""
    chances, wrong = random.Random(5), 0
    truth = drawn_answers(random.Random(6), 2_000, is_relevant_at=shape)
    for seed in range(200):
        promise = replace(PROMISE, seed=seed)
        found = calibrate(drawn_answers(chances, 80, is_relevant_at=shape), promise)
        if found.chosen is not None:
            seen = examine(truth, found.chosen.threshold, promise).precision
            wrong += seen is not None and seen < promise.precision - 0.01
    assert wrong <= 17


def test_passages_of_a_query_count_once() -> None:
    """Ten copies of each answer's passage are no more evidence than one."""
    few = [answer(f"q{number}", (0.9, number % 8 > 0)) for number in range(60)]
    many = [replace(each, passages=each.passages * 10) for each in few]
    promise = replace(PROMISE, top_k=10)
    assert calibrate(few, promise).tests[0].lower == calibrate(many, promise).tests[0].lower


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 5))
def test_the_outcome_depends_on_the_seed_and_not_on_the_order(chances: random.Random, seed: int) -> None:
    answers = drawn_answers(random.Random(7), 60, is_relevant_at=lambda x: x)
    promise = Promise(precision=0.6, top_k=2, seed=seed)
    shuffled = list(answers)
    chances.shuffle(shuffled)
    assert calibrate(shuffled, promise) == calibrate(answers, promise)
    pilots, others = split(answers, seed)
    assert len(pilots) == 12
    assert {each.query_id for each in pilots} | {each.query_id for each in others} == {f"q{n}" for n in range(60)}


def test_queries_that_find_nothing_are_counted_but_test_nothing() -> None:
    found = calibrate([answer(f"q{number}") for number in range(30)], PROMISE)
    assert (found.chosen, found.tests, found.pilots, found.tested) == (None, (), 6, 24)
    with pytest.raises(ValueError, match="two"):
        calibrate([answer("q", (0.5, True))], PROMISE)
