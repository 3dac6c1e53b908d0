"""A writer that lost its lease during a pause publishes nothing, and what its successor acknowledged stays.

These pause within one process; `python -m tests.faults.fence` stops processes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.fencing import PATHS, paused
from tests.postgres import TEMPLATE, PostgresServer
from winnow.retrieval.catalog.sql.database import SqlDatabase

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def catalog(postgres: PostgresServer) -> SqlDatabase:
    return SqlDatabase.open(postgres.new(template=TEMPLATE))


@pytest.mark.parametrize("path", PATHS)
def test_a_superseded_writer_publishes_nothing(path: str, catalog: SqlDatabase, tmp_path: Path) -> None:
    """Wherever it pauses: its commits are refused or were there before the fence."""
    at, seen = 1, 0
    while (outcome := paused(tmp_path / f"{path} {at}", catalog, path, at)).at:
        assert outcome.wrong == (), outcome
        seen += outcome.superseded
        at += 1
    assert seen >= 1
