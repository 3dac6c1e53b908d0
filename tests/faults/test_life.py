"""Some hundred random steps of a collection's life, and some kills; the commands beside it take more of them.

`python -m tests.faults.life` and `python -m tests.faults.kills`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.kills import rounds
from tests.faults.life import lived, taken

pytestmark = pytest.mark.faults


def test_a_collection_answers_as_a_dictionary_would(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is written, published, rolled back, cleaned up or opened anew; two other processes are asked."""
    steps = lived(steps=100, first_seed=20261125)
    assert taken(steps) >= 100
    assert steps["searches compared"] > 100


def test_a_process_killed_under_mixed_load_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """It writes, folds and searches all at once; another process then compares everything."""
    done = list(rounds(tmp_path, count=3, seed=20261125))
    assert [each for each in done if each.wrong] == []
    assert len(done) == 3
    assert sum(each.acknowledged for each in done) > 0
