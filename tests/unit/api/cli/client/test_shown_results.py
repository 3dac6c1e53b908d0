"""What `winnow search` and `winnow rerank` print of an answer, from a data folder or a service."""

from __future__ import annotations

from typing import Any

import pytest

from winnow.api.cli.client.shown_results import say_calibrated
from winnow.api.cli.terminal import Terminal
from winnow.api.formatting import percent

APPLIED = {"threshold": 0.5, "precision": 0.9, "confidence": 0.95, "coverage": 0.7}


def said(capsys: pytest.CaptureFixture[str], **answer: Any) -> str:
    found: Any = {"calibration": APPLIED, "degraded": None, "results": ["one"]} | answer
    say_calibrated(Terminal(json=False), found)
    return " ".join(capsys.readouterr().err.split())


def test_a_promise_is_not_rounded_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert "at least 99.5% of the shown" in said(capsys, calibration=APPLIED | {"precision": 0.995})
    assert [percent(each) for each in (0.8, 0.57, 0.925, 0.999, 1.0, 0.0)] == [
        "80%", "57%", "92.5%", "99.9%", "100%", "0%",
    ]  # fmt: skip


def test_nothing_is_promised_where_the_threshold_was_not_applied(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is such an answer called not answerable; one without results is."""
    failed = {"stage": "rerank", "reason": "timeout"}
    degraded = said(capsys, degraded=failed)
    assert "was not applied" in degraded
    assert "at least" not in degraded
    assert "Not answerable" not in said(capsys, degraded=failed, results=[])
    assert "Not answerable" in said(capsys, results=[])
    assert said(capsys, calibration=None) == ""
