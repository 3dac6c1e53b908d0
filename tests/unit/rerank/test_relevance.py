"""A judgement is a finite number, and relevance is its probability of "yes"."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.rerank.instruction import DEFAULT_INSTRUCTION, check_instruction
from winnow.rerank.relevance import LOGIT_MAX, check_logits, logit_of, relevance_of
from winnow.retrieval.errors import InvalidRequest, LimitExceeded, RerankUnavailable
from winnow.retrieval.limits import INSTRUCTION_CHARACTERS_MAX


@given(yes=st.floats(-60, 60), no=st.floats(-60, 60))
def test_relevance_is_the_softmax_over_yes_and_no(yes: float, no: float) -> None:
    """The model card's exp(log_softmax([no, yes])[1])."""
    biggest = max(yes, no)
    softmax = math.exp(yes - biggest) / (math.exp(yes - biggest) + math.exp(no - biggest))
    assert relevance_of(yes - no) == pytest.approx(softmax, abs=1e-12)


@pytest.mark.parametrize(("logit", "relevance"), [(1e6, 1.0), (-1e6, 0.0), (0.0, 0.5)])
def test_certainty_does_not_overflow(logit: float, relevance: float) -> None:
    """exp overflows at 709.8; a sure model must not crash the answer."""
    assert relevance_of(logit) == relevance


@given(logit=st.floats(-30, 30))
def test_a_probability_gives_its_logit_back(logit: float) -> None:
    """For servers that return probabilities: what is lost is the rounding of the probability."""
    rounding = 2e-15 / (relevance_of(logit) * relevance_of(-logit))
    assert logit_of(relevance_of(logit)) == pytest.approx(logit, abs=1e-9 + rounding)


@pytest.mark.parametrize(("relevance", "logit"), [(0.0, -LOGIT_MAX), (1.0, LOGIT_MAX)])
def test_certainty_has_a_finite_logit(relevance: float, logit: float) -> None:
    """So that it can be weighed against a similarity."""
    assert logit_of(relevance) == logit


@pytest.mark.parametrize("relevance", [math.nan, -0.01, 1.01, math.inf])
def test_what_is_no_probability_is_refused(relevance: float) -> None:
    """Never a fake score."""
    with pytest.raises(RerankUnavailable):
        logit_of(relevance)


@pytest.mark.parametrize("logits", [[1.0, math.nan], [1.0, math.inf], [1.0], [1.0, 2.0, 3.0]])
def test_broken_or_missing_judgements_are_refused(logits: list[float]) -> None:
    """A passage without a judgement does not become "irrelevant"."""
    with pytest.raises(RerankUnavailable):
        check_logits(logits, expected=2)


def test_an_instruction_is_checked_before_it_is_used() -> None:
    """Empty, NUL and too long are refused; what is allowed is not changed."""
    assert check_instruction(DEFAULT_INSTRUCTION) == DEFAULT_INSTRUCTION
    assert check_instruction(" 优先中文 \n") == " 优先中文 \n"
    for text in ("", " \n\t", "a\0b"):
        with pytest.raises(InvalidRequest):
            check_instruction(text)
    with pytest.raises(LimitExceeded):
        check_instruction("x" * (INSTRUCTION_CHARACTERS_MAX + 1))
