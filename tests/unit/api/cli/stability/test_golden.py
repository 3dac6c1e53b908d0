"""What a run is called, and what --check lets pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.contract.stability.test_book import CAUSE, MEASURES, run
from winnow.api.cli.stability.golden import is_stable, outcome

STILL = replace(MEASURES, moved=0, degraded=0.0, degraded_before=0.0)
NOTHING = {"causes": (), "measures": STILL}


@pytest.mark.parametrize(
    ("fields", "expected", "stable"),
    [
        ({"measures": None}, "baseline", True),
        (NOTHING, "nothing moved", True),
        ({"causes": (CAUSE, CAUSE), "measures": replace(STILL, moved=3)}, "3 moved: index", False),
        (NOTHING | {"measures": replace(STILL, degraded=0.5)}, "nothing moved", False),
        (NOTHING | {"measures": replace(STILL, degraded_before=0.5)}, "nothing moved", False),
        (
            NOTHING | {"measures": replace(STILL, queries=0, degraded=1.0)},
            "nothing compared: all answers are degraded",
            False,
        ),
    ],
)
def test_a_degraded_answer_is_no_proof(fields: dict[str, Any], expected: str, *, stable: bool) -> None:
    """With the reranker down, nothing moves; a script that gates a release must not pass."""
    done = run(**fields)
    assert (outcome(done), is_stable(done)) == (expected, stable)
