"""A writer that lost its lease during a pause publishes nothing, and what its successor acknowledged stays.

These pause within one process; `python -m tests.faults.fence` stops processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.fence.sites import AHEAD_SECONDS, ANSWER_SECONDS, Site
from tests.faults.fence.writers import UnfencedLease, paused
from tests.postgres import TEMPLATE, PostgresServer
from tests.s3_server import BUCKET, S3, serving
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.files.s3_access import BucketRoot

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def catalog(postgres: PostgresServer) -> SqlDatabase:
    return SqlDatabase.open(postgres.new(template=TEMPLATE))


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with serving() as server:
        yield server


@pytest.fixture
def in_folder(tmp_path: Path) -> Site:
    return Site(name=str(tmp_path), root=tmp_path / "data")


@pytest.fixture
def in_bucket(s3: S3, tmp_path: Path) -> Site:
    bucket = BucketRoot(url=f"s3://{BUCKET}/fence", access=s3.access, answer_seconds=ANSWER_SECONDS)
    return Site(name=str(tmp_path), root=tmp_path / "data", bucket=bucket, ahead_seconds=AHEAD_SECONDS)


@pytest.mark.parametrize(("path", "at"), [("upsert", 4), ("delete", 3), ("publication", 3), ("rollback", 3)])
def test_a_superseded_writer_publishes_nothing(
    path: str, at: int, catalog: SqlDatabase, in_folder: Site, tmp_path: Path
) -> None:
    """It renewed its lease, or compared its token, right before the commit or the rename, and paused there."""
    outcome = paused(in_folder, tmp_path / "prepared", catalog, path, at)
    assert (outcome.at, outcome.superseded, outcome.wrong) == (at, True, ())


@pytest.mark.parametrize(("path", "at"), [("upsert", 4), ("delete", 3)])
def test_a_superseded_writer_publishes_nothing_in_a_bucket(
    path: str, at: int, catalog: SqlDatabase, in_bucket: Site, tmp_path: Path
) -> None:
    outcome = paused(in_bucket, tmp_path / "prepared", catalog, path, at)
    assert (outcome.at, outcome.superseded, outcome.wrong) == (at, True, ())


@pytest.mark.parametrize("place", ["in_folder", "in_bucket"])
def test_a_writer_that_pauses_before_its_fence_takes_nothing_back(
    place: str, catalog: SqlDatabase, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    site: Site = request.getfixturevalue(place)
    outcome = paused(site, tmp_path / "prepared", catalog, "upsert", 1, is_after_failure=True)
    assert (outcome.at, outcome.superseded, outcome.wrong) == (1, True, ())


@pytest.mark.parametrize(("path", "at"), [("delete", 3), ("publication", 3)])
def test_without_a_fence_what_is_late_is_published(
    path: str, at: int, catalog: SqlDatabase, in_folder: Site, tmp_path: Path
) -> None:
    """The control."""
    outcome = paused(in_folder, tmp_path / "prepared", catalog, path, at, second=UnfencedLease)
    assert outcome.at
    assert outcome.wrong != ()


def test_without_a_fence_what_is_late_is_published_in_a_bucket(
    catalog: SqlDatabase, in_bucket: Site, tmp_path: Path
) -> None:
    """The control."""
    outcome = paused(in_bucket, tmp_path / "prepared", catalog, "delete", 3, second=UnfencedLease)
    assert outcome.at
    assert outcome.wrong != ()
