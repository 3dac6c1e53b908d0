"""Callers cannot fill the disk with lines of the log."""

from __future__ import annotations

import logging

from winnow.api.http.log_rate import BURST, Sparing, SparingRefusals

ACCESS = '%s - "%s %s HTTP/%s" %d'


def record(status: int) -> logging.LogRecord:
    arguments = ("127.0.0.1:1", "POST", "/v1/search", "1.1", status)
    return logging.LogRecord("uvicorn.access", logging.INFO, "", 0, ACCESS, arguments, None)


def test_what_is_passed_over_is_counted() -> None:
    """And told with the next line that is written."""
    now = [0.0]
    sparing = Sparing(burst=2, per_second=1.0, clock=lambda: now[0])
    assert [sparing.allowed() for _ in range(5)] == [0, 0, None, None, None]
    now[0] = 1.0
    assert [sparing.allowed() for _ in range(2)] == [3, None]


def test_refusals_are_logged_at_a_rate_and_answers_always() -> None:
    """A thousand of each."""
    spared = SparingRefusals()
    assert sum(spared.filter(record(200)) for _ in range(1_000)) == 1_000
    assert BURST <= sum(spared.filter(record(408)) for _ in range(1_000)) < 2 * BURST
    told = next(each for each in (record(401) for _ in range(10**6)) if spared.filter(each))
    assert "refusals before this one were not logged" in told.getMessage()
