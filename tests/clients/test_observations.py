"""Observations of clients are judged as the page says."""

from __future__ import annotations

import pytest

from tests.clients.cases import CASES, Outcome
from tests.clients.observations import Case, Observation, is_well_formed, outcome_of

USUAL = ["returns-en", "delivery-en", "returns-zh"]


def observed(case: Case, *, order: list[str] | None = None, error: str | None = None, **more: object) -> Observation:
    given = {"route": "POST /rerank", "case": str(case), "version": "1", "order": order, "error": error}
    given |= {"status": None, "skipped": None, "note": "", "seconds": 0.1}
    return given | more  # type: ignore[return-value]


def test_the_cases_are_those_of_the_rows() -> None:
    assert list(CASES) == list(Case)


@pytest.mark.parametrize(
    ("observation", "expected"),
    [
        (observed(Case.SUCCESS, order=USUAL), Outcome.WORKS),
        (observed(Case.SUCCESS, order=USUAL[::-1]), Outcome.REFUSED),
        (observed(Case.SUCCESS, error="ValidationError"), Outcome.REFUSED),
        (observed(Case.NULLS, order=USUAL[:2]), Outcome.REFUSED),
        (observed(Case.DEGRADED, order=USUAL[:2]), Outcome.WORKS),
        (observed(Case.INSTRUCTION, order=["returns-en", "returns-zh", "delivery-en"]), Outcome.WORKS),
        (observed(Case.INSTRUCTION, order=USUAL), Outcome.REFUSED),
        (observed(Case.UNAUTHORIZED, error="UnauthorizedError", status=401), Outcome.WORKS),
        (observed(Case.UNAUTHORIZED, error="ValueError"), Outcome.WORKS),
        (observed(Case.UNAUTHORIZED, error="ApiError", status=500), Outcome.REFUSED),
        (observed(Case.UNAUTHORIZED, error="AssertionError"), Outcome.REFUSED),
        (observed(Case.LIMITED, order=USUAL), Outcome.REFUSED),
        (observed(Case.LIMITED, order=USUAL, seconds=15.0), Outcome.WORKS),
        (observed(Case.DEGRADED, skipped="rerank is refused"), Outcome.NOT_APPLICABLE),
    ],
)
def test_an_observation_is_judged(observation: Observation, expected: Outcome) -> None:
    assert is_well_formed(observation)
    assert outcome_of(observation, observed(Case.SUCCESS, order=USUAL)) is expected


@pytest.mark.parametrize(
    "observation",
    [
        observed(Case.SUCCESS),
        observed(Case.SUCCESS, order=USUAL, error="ValueError"),
        observed(Case.SUCCESS, order=["no-such-document"]),
        observed(Case.SUCCESS, order=USUAL, version=""),
        observed("200", order=USUAL),  # type: ignore[arg-type],
    ],
)
def test_a_malformed_observation_is_found(observation: Observation) -> None:
    assert not is_well_formed(observation)
