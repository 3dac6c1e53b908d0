"""A writer that lost its lease during a pause publishes nothing, and what its successor acknowledged stays.

These pause within one process; `python -m tests.faults.fence` stops processes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.fencing import UnfencedLease, paused
from tests.postgres import TEMPLATE, PostgresServer
from winnow.retrieval.catalog.sql.database import SqlDatabase

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def catalog(postgres: PostgresServer) -> SqlDatabase:
    return SqlDatabase.open(postgres.new(template=TEMPLATE))


@pytest.mark.parametrize(("path", "at"), [("upsert", 4), ("delete", 3), ("publication", 2), ("rollback", 3)])
def test_a_superseded_writer_publishes_nothing(path: str, at: int, catalog: SqlDatabase, tmp_path: Path) -> None:
    """It renewed its lease, or compared its token, right before the commit or the rename, and paused there."""
    outcome = paused(tmp_path / "data", catalog, path, at)
    assert (outcome.at, outcome.superseded, outcome.wrong) == (at, True, ())


def test_a_writer_that_pauses_before_its_fence_takes_nothing_back(catalog: SqlDatabase, tmp_path: Path) -> None:
    outcome = paused(tmp_path / "data", catalog, "upsert", 1, is_after_failure=True)
    assert (outcome.at, outcome.superseded, outcome.wrong) == (1, True, ())


@pytest.mark.parametrize(("path", "at"), [("delete", 3), ("publication", 2)])
def test_without_a_fence_what_is_late_is_published(path: str, at: int, catalog: SqlDatabase, tmp_path: Path) -> None:
    """The control."""
    outcome = paused(tmp_path / "data", catalog, path, at, second=UnfencedLease)
    assert outcome.at
    assert outcome.wrong != ()
