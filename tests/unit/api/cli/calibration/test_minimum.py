"""What `winnow search --min-relevance calibrated` says about the threshold."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.api.http.routes.test_calibrated import CALIBRATION
from winnow.api.cli.calibration.minimum import minimum_field, say_calibrated
from winnow.api.cli.terminal import Terminal
from winnow.api.formatting import percent


def said(capsys: pytest.CaptureFixture[str], **answer: Any) -> str:
    found: Any = SimpleNamespace(**{"calibration": CALIBRATION, "degraded": None, "results": ["one"]} | answer)
    say_calibrated(Terminal(json=False), found)
    return " ".join(capsys.readouterr().err.split())


def test_a_promise_is_not_rounded_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert "at least 99.5% of the shown" in said(capsys, calibration=replace(CALIBRATION, precision=0.995))
    assert [percent(each) for each in (0.8, 0.57, 0.925, 0.999, 1.0, 0.0)] == [
        "80%", "57%", "92.5%", "99.9%", "100%", "0%",
    ]  # fmt: skip


def test_nothing_is_promised_where_the_threshold_was_not_applied(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is such an answer called not answerable; one without results is."""
    degraded = said(capsys, degraded=object())
    assert "was not applied" in degraded
    assert "at least" not in degraded
    assert "Not answerable" not in said(capsys, degraded=object(), results=[])
    assert "Not answerable" in said(capsys, results=[])
    assert said(capsys, calibration=None) == ""


def test_a_minimum_is_a_number_or_a_word_for_the_body_to_check() -> None:
    assert (minimum_field(None), minimum_field("0.5"), minimum_field("calibrated")) == (None, 0.5, "calibrated")
