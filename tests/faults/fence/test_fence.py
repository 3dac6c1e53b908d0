"""A writer that lost its lease during a pause publishes nothing, and what its successor acknowledged stays.

These pause within one process; `python -m tests.faults.fence` stops processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import lance
import pytest

from tests.faults.fence.judging import Kind, compared, faults_at_take_over
from tests.faults.fence.leases import PausingLease, UnfencedLease
from tests.faults.fence.matrix import ALL_PATHS, PAUSES, PLACES, Row, blind_cells, table, why_missing
from tests.faults.fence.rounds import Outcome, Scene
from tests.faults.fence.scenes import Grounds
from tests.faults.fence.wire import HELD_SECONDS_MAX, held_on_the_wire
from tests.postgres import TEMPLATE, PostgresServer
from tests.s3_server import S3, serving
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.leases.writer_lease import SqlWriterLease
from winnow.retrieval.errors import WinnowError, WriterSuperseded

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with serving() as server:
        yield server


@pytest.fixture
def in_folder(postgres: PostgresServer, tmp_path: Path) -> Iterator[Grounds]:
    url = postgres.new(template=TEMPLATE)
    database = SqlDatabase.open(url)
    yield Grounds(base=tmp_path, url=url, database=database)
    database.close()


@pytest.fixture
def in_bucket(postgres: PostgresServer, s3: S3, tmp_path: Path) -> Iterator[Grounds]:
    url = postgres.new(template=TEMPLATE)
    database = SqlDatabase.open(url)
    yield Grounds(base=tmp_path, url=url, database=database, s3=s3, prefix=tmp_path.name)
    database.close()


def paused(grounds: Grounds, scene: Scene, at: int, *, second: type[SqlWriterLease] = SqlWriterLease) -> Outcome:
    """Run a write path, and let another writer take over at its renewal `at`."""
    scene.begin(grounds.database)
    first = scene.first_lease(PausingLease, grounds.database, seconds=9)
    assert isinstance(first, PausingLease)
    taken = []
    first.at, first.pause = at, lambda: taken.append(scene.take_over(second, grounds.database, host="one"))
    superseded = False
    try:
        scene.write(first)
    except WinnowError:
        superseded = True
    assert taken, "it has as many renewals"
    wrong = scene.faults(taken[0], grounds.database, is_acknowledged=not superseded)
    return Outcome(paused_at=f"renewal {at}", superseded=superseded, wrong=tuple(wrong))


@pytest.mark.parametrize(("path", "at"), [("upsert", 5), ("delete", 4), ("publication", 4), ("rollback", 4)])
def test_a_superseded_writer_publishes_nothing(path: str, at: int, in_folder: Grounds) -> None:
    """It renewed its lease, or compared its token, right before the commit or the rename, and paused there."""
    outcome = paused(in_folder, in_folder.scenes_of(path)(), at)
    assert (outcome.superseded, outcome.wrong) == (True, ())


@pytest.mark.parametrize(("path", "at"), [("upsert", 5), ("delete", 4)])
def test_a_superseded_writer_publishes_nothing_in_a_bucket(path: str, at: int, in_bucket: Grounds) -> None:
    outcome = paused(in_bucket, in_bucket.scenes_of(path)(), at)
    assert (outcome.superseded, outcome.wrong) == (True, ())


@pytest.mark.parametrize("place", ["in_folder", "in_bucket"])
def test_a_writer_that_pauses_before_its_fence_takes_nothing_back(place: str, request: pytest.FixtureRequest) -> None:
    grounds: Grounds = request.getfixturevalue(place)
    outcome = paused(grounds, grounds.scenes_of("upsert", has_failed=True)(), 2)
    assert (outcome.superseded, outcome.wrong) == (True, ())


@pytest.mark.parametrize(("path", "at"), [("delete", 4), ("publication", 4)])
def test_without_a_fence_what_is_late_is_published(path: str, at: int, in_folder: Grounds) -> None:
    """The control."""
    assert paused(in_folder, in_folder.scenes_of(path)(), at, second=UnfencedLease).wrong != ()


def test_without_a_fence_what_is_late_is_published_in_a_bucket(in_bucket: Grounds) -> None:
    """The control."""
    assert paused(in_bucket, in_bucket.scenes_of("delete")(), 4, second=UnfencedLease).wrong != ()


@pytest.mark.parametrize(
    ("second", "until", "repeats", "is_published"),
    [
        (SqlWriterLease, "the fence", False, False),
        (UnfencedLease, "the fence", False, True),
        (UnfencedLease, "the publication", False, False),
        (UnfencedLease, "the publication", True, True),
        (SqlWriterLease, "the publication", True, False),
    ],
)
def test_what_refuses_a_commit_that_was_held_on_the_wire(
    second: type[SqlWriterLease], until: str, *, repeats: bool, is_published: bool, in_bucket: Grounds
) -> None:
    """The fence, alone until its successor commits. Then its number is taken, and only a repeated commit would pass."""
    scene = in_bucket.scenes_of("delete")()
    first = scene.first_lease(PausingLease, in_bucket.database, seconds=9)
    assert isinstance(first, PausingLease)
    assert in_bucket.s3 is not None
    with (
        held_on_the_wire(in_bucket.s3.url) as wire,
        ThreadPoolExecutor(1) as threads,
        repeating_commits() if repeats else nullcontext(),
    ):
        wire.hold(6)  # two removals, two files of deletions, a transaction, the manifest
        write = threads.submit(scene.through(wire.url).write, first)
        assert wire.is_held.wait(HELD_SECONDS_MAX)
        assert wire.held.startswith("PUT _versions/")
        fenced = wire.let_go if until == "the fence" else lambda: None
        taken = scene.take_over(second, in_bucket.database, host="one", fenced=fenced)
        wire.let_go()
        assert isinstance(write.exception(HELD_SECONDS_MAX), WriterSuperseded)
    wrong = scene.faults(taken, in_bucket.database, is_acknowledged=False)
    assert {fault.kind for fault in wrong} == ({Kind.STALE} if is_published else set())


@contextmanager
def repeating_commits() -> Iterator[None]:
    """Let Lance repeat a refused commit on the newest version, as it does by default."""
    with patch.object(lance.LanceDataset, "commit", partial(_repeated, lance.LanceDataset.commit)):
        yield


def _repeated(
    commit: Callable[..., lance.LanceDataset],
    dataset: lance.LanceDataset,
    operation: lance.LanceOperation.BaseOperation,
    *,
    read_version: int,
    max_retries: int | None = None,
) -> lance.LanceDataset:
    return commit(dataset, operation, read_version=read_version)


@pytest.mark.parametrize("at", [3, 5, 7, 8, 9])
def test_a_late_creation_leaves_the_collection_of_its_successor_alone(at: int, in_folder: Grounds) -> None:
    """Wherever it paused: before its row, its store, its exchange of the files, the pointer, and its end."""
    outcome = paused(in_folder, in_folder.scenes_of("creation over a half-removed folder")(), at)
    assert (outcome.superseded, outcome.wrong) == (True, ())


@pytest.mark.parametrize("at", [3, 4, 6, 8])
def test_a_late_restore_leaves_the_collection_of_its_successor_alone(at: int, in_folder: Grounds) -> None:
    outcome = paused(in_folder, in_folder.scenes_of("restore over a collection")(), at)
    assert (outcome.superseded, outcome.wrong) == (True, ())


@pytest.mark.parametrize("place", ["in_folder", "in_bucket"])
def test_a_late_removal_leaves_the_collection_of_its_successor_alone(
    place: str, request: pytest.FixtureRequest
) -> None:
    """It paused before it read which collection it removes."""
    grounds: Grounds = request.getfixturevalue(place)
    outcome = paused(grounds, grounds.scenes_of("removal")(), 1)
    assert (outcome.superseded, outcome.wrong) == (True, ())


@pytest.mark.parametrize(
    ("path", "at"), [("embed fields", 6), ("embed fields of a kept collection", 6), ("adoption", 5)]
)
def test_a_late_change_of_a_row_is_refused(path: str, at: int, in_folder: Grounds) -> None:
    """It paused right before the transaction."""
    outcome = paused(in_folder, in_folder.scenes_of(path)(), at)
    assert (outcome.superseded, outcome.wrong) == (True, ())


@pytest.mark.parametrize(("path", "at"), [("embed fields of a kept collection", 6), ("embed fields", 6)])
def test_without_the_token_a_late_change_of_a_row_is_made(
    path: str, at: int, in_folder: Grounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    monkeypatch.setattr("winnow.retrieval.catalog.sql.collections.require_held", lambda *_, token: None)
    assert paused(in_folder, in_folder.scenes_of(path)(), at).wrong != ()


def test_what_differs_is_stale_lost_or_doubled() -> None:
    before, after = {"a": ("old", 1), "b": ("kept", 2)}, {"a": ("new", 1), "b": ("kept", 2)}
    assert [*compared(before, before, late=after)] == []
    assert [each.kind for each in compared(after, before, late=after)] == [Kind.STALE]
    assert [each.kind for each in compared({"a": ("old", 1)}, before, late=after)] == [Kind.LOST]
    assert [each.kind for each in compared({"a": ("old", 2), "b": ("kept", 2)}, before, late=after)] == [Kind.DOUBLED]
    assert [each.kind for each in compared(before | {"c": ("more", 1)}, before, late=after)] == [Kind.STALE]
    for found, is_acknowledged, is_right in ((before, False, True), (after, False, True), (before, True, False)):
        wrong = faults_at_take_over(found, before, after, is_acknowledged=is_acknowledged)
        assert (not wrong) == is_right
    both = {"a": ("new", 2), "b": ("kept", 2)}
    assert [each.kind for each in faults_at_take_over(both, before, after, is_acknowledged=True)] == [Kind.DOUBLED]


def test_every_cell_has_every_path_or_says_why_not() -> None:
    missing = {
        (place, pause, path)
        for place in PLACES
        for pause in PAUSES
        for path in ALL_PATHS
        if why_missing(place, pause, path)
    }
    stream = "a stream of upserts and deletions"
    folder_random = {path for place, pause, path in missing if (place, pause) == ("folder", "random")}
    assert folder_random == {"old publications", "rollback"}
    assert {(place, pause) for place, pause, path in missing if path == stream} == {
        (place, pause) for place in PLACES for pause in PAUSES if pause != "random"
    }


def test_rows_and_cells_that_are_wrong_say_so() -> None:
    row = Row(place="folder", pause="held", path="upsert", rounds=4, superseded=3, control_rounds=2, control_wrong=1)
    assert Row.from_json(row.to_json()) == row
    assert not row.is_wrong
    lines = [*table([row])]
    assert lines[1].split()[:7] == ["folder", "held", "upsert", "4", "3", "0", "0"]
    assert lines[-1] == "folder x held: 1 paths, 4 rounds, 0 wrong; controls that fail: 1 of 1"
    assert blind_cells([row]) == []
    assert blind_cells([replace(row, control_wrong=0)]) == [("folder", "held")]
    for change in ({"stale": 1}, {"lost": 1}, {"doubled": 1}, {"rounds": 0}):
        worse = replace(row, **change)
        assert worse.is_wrong
        assert "WRONG" in [*table([worse])][1]
