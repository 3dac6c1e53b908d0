"""A few turns of `python -m tests.faults.flips`, which is run with 200."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.flips import turns

pytestmark = pytest.mark.faults

CHANGES = 8


def test_each_change_of_a_file_is_named_or_without_effect(tmp_path: Path) -> None:
    """Of whatever kind, in whatever file of a data folder of several tenants."""
    outcomes = list(turns(tmp_path, count=CHANGES, seed=3))
    assert [each for each in outcomes if each.is_unseen] == []
    assert any(each.is_fault for each in outcomes)
