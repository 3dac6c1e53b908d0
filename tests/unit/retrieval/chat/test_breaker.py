"""retrieval/chat/breaker.py: what opens it, what does not, and when the model is checked."""

from __future__ import annotations

import pytest

from winnow.retrieval.chat.breaker import Breaker, BreakerLimits
from winnow.retrieval.chat.client import ChatFailed, ChatFault

LIMITS = BreakerLimits(failures_max=3, silence_seconds=2.0, pause_seconds=1.0, pause_seconds_max=4.0)


def failure(fault: ChatFault, *, is_lasting: bool = False) -> ChatFailed:
    return ChatFailed(fault, "http://model: it failed", is_lasting=is_lasting)


@pytest.mark.parametrize("fault", [ChatFault.SILENT, ChatFault.BROKEN, ChatFault.GONE])
def test_consecutive_failures_open_it(fault: ChatFault) -> None:
    """An answer in between starts the count again."""
    breaker = Breaker(LIMITS)
    for _ in range(2):
        assert not breaker.failed(failure(fault), seconds=3.0, since=0.0, now=3.0)
    breaker.answered(4.0)
    for _ in range(2):
        assert not breaker.failed(failure(fault), seconds=3.0, since=5.0, now=8.0)
    assert breaker.failed(failure(fault), seconds=3.0, since=5.0, now=8.0)
    assert breaker.problem == "http://model: it failed"


def test_a_failure_that_lasts_opens_it_at_once() -> None:
    """A wrong key, or no server at all."""
    breaker = Breaker(LIMITS)
    assert breaker.failed(failure(ChatFault.BROKEN, is_lasting=True), seconds=3.0, since=0.0, now=3.0)


@pytest.mark.parametrize(("fault", "seconds"), [(ChatFault.SILENT, 0.1), (ChatFault.DECLINED, 3.0)])
def test_what_one_request_may_cause_opens_nothing_but_is_checked(fault: ChatFault, seconds: float) -> None:
    """However often it comes."""
    breaker = Breaker(LIMITS)
    assert not breaker.is_check_due(0.0)
    for _ in range(100):
        assert not breaker.failed(failure(fault), seconds=seconds, since=0.0, now=60.0)
    assert breaker.is_check_due(0.0)
    breaker.began_check(0.0)
    assert not breaker.is_check_due(10.0), "the doubt is settled by the check"
    assert breaker.failed_check(failure(ChatFault.SILENT), since=0.0, now=1.0)
    assert breaker.is_open


def test_what_failed_before_an_answer_does_not_count() -> None:
    """Calls overlap: the model may have come back while one of them still waited."""
    breaker = Breaker(LIMITS)
    breaker.answered(2.0)
    for _ in range(5):
        assert not breaker.failed(failure(ChatFault.SILENT), seconds=3.0, since=1.0, now=4.0)
        assert not breaker.failed_check(failure(ChatFault.SILENT), since=1.0, now=4.0)
    assert not breaker.is_check_due(4.0)


def test_a_busy_model_is_neither_left_alone_nor_checked() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(100):
        assert not breaker.failed(failure(ChatFault.BUSY), seconds=3.0, since=0.0, now=3.0)
    assert not breaker.is_check_due(0.0)


def test_pauses_between_checks_double_up_to_a_limit() -> None:
    breaker = Breaker(LIMITS)
    breaker.failed(failure(ChatFault.GONE, is_lasting=True), seconds=3.0, since=0.0, now=3.0)
    now, pauses = 3.0, []
    for _ in range(5):
        began = now
        while not breaker.is_check_due(now):
            now += 0.5
        pauses.append(now - began)
        breaker.began_check(now)
        breaker.failed_check(failure(ChatFault.GONE), since=now, now=now)
    assert pauses == [1.0, 2.0, 4.0, 4.0, 4.0]
    assert breaker.answered(now)
    assert not breaker.is_open
