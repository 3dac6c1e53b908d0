"""A folder of hostile files is read to its end: each file as defined for it, and nothing of it is left.

These are the quick ones of about 300; `python -m tests.hostile.reading` reads all.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.indexing.interrupt import Bench, outcome
from tests.hostile.interrupted import Watched, write_mixed_folder
from tests.hostile.kinds import CANARY
from tests.hostile.reading import Measured, hostile_files, listening, read_together
from tests.tiny_models import write_embedder

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]


def test_hostile_files_are_rejects_or_harmless(tmp_path: Path):
    """No entity is resolved, nothing is fetched, no process, file or memory is left."""
    canary = tmp_path / "canary.txt"
    canary.write_text(CANARY, encoding="utf-8")
    with listening() as (port, calls):
        made = hostile_files(canary, port)
        assert len(made) >= 200
        measured = Measured(calls)
        outcomes = dict(read_together(tmp_path, [each for each in made if each.is_quick], measured))
        cost = measured.cost()
    assert len(outcomes) >= 40
    assert {hostile.name: found.wrong for hostile, found in outcomes.items() if found.wrong} == {}
    assert cost.wrong == []


def test_a_killed_run_of_a_mixed_folder_ends_as_an_undisturbed_one(tmp_path: Path):
    """Killed early, and late; its process that parses ends with it, its temporary files go with the next run."""
    write_mixed_folder(tmp_path / "mixed", copies=1)
    watched = Watched(Bench(corpus=tmp_path / "mixed", embed_model=str(write_embedder(tmp_path / "embed"))))
    seconds = watched.bench.working_seconds(tmp_path / "undisturbed")
    expected = outcome(tmp_path / "undisturbed")
    assert len(expected.documents) > 5
    assert expected.rejects
    for share in (0.3, 0.9):
        assert watched.trial(tmp_path / f"killed-{share}", expected, share=share, seconds=seconds)
    assert watched.left == []
