"""Real processes that are killed at every sync and every copied portion of a snapshot and of a restore."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.dying import Processes, processes
from tests.snapshots import IDENTITY, Watched, contents, folder_of, made, names
from winnow.api.collections.backups import restore, snapshot
from winnow.api.collections.data_folder import DataFolder
from winnow.retrieval.backup.place import FolderPlace
from winnow.retrieval.backup.transfer import find_manifest
from winnow.retrieval.errors import SnapshotNotFound
from winnow.retrieval.generation.listing import left_over
from winnow.retrieval.tenancy import DEFAULT_TENANT

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def dying() -> Iterator[Processes]:
    with processes() as started:
        yield started


def test_a_killed_snapshot_is_none_and_can_be_taken_again(dying: Processes, tmp_path: Path) -> None:
    """At every point: no manifest, the collection unharmed; the next one is whole."""
    disk = made(tmp_path / "data")
    expected = contents(disk, "docs")
    for at in count(1):
        place = tmp_path / f"place-{at}"
        if not dying.died("snapshot", tmp_path / "data", place, at=at):
            break
        finished = (place / "manifest.json").exists()  # only its folder was not synced yet
        if not finished:
            with pytest.raises(SnapshotNotFound):
                find_manifest(FolderPlace(place))
            snapshot(disk, DEFAULT_TENANT, "docs", FolderPlace(place), watcher=Watched())
        assert contents(disk, "docs") == expected
        assert find_manifest(FolderPlace(place)).documents == len(expected["hashes"])
        shutil.rmtree(place)
    assert at > 20


@pytest.mark.parametrize("replacing", [False, True], ids=["restore", "replace"])
def test_a_killed_restore_shows_nothing_and_goes_on(*, dying: Processes, tmp_path: Path, replacing: bool) -> None:
    """At every point there is the old collection whole, or none, or the new one whole; the same call again ends it."""
    place = FolderPlace(tmp_path / "place")
    source = made(tmp_path / "source")
    snapshot(source, DEFAULT_TENANT, "docs", place, watcher=Watched())
    new = contents(source, "docs")
    if replacing:
        old = contents(made(tmp_path / "template", documents=3, word="old"), "docs")
    else:
        DataFolder.open(tmp_path / "template")
    seen = {"old": 0, "none": 0, "new": 0}
    for at in count(1):
        data = tmp_path / f"data-{at}"
        shutil.copytree(tmp_path / "template", data)
        died = dying.died("replace" if replacing else "restore", data, tmp_path / "place", at=at)
        disk = DataFolder.open(data)
        if names(disk) == ["docs"]:
            found = contents(disk, "docs")
            assert found == new or (replacing and found == old)
            seen["new" if found == new else "old"] += 1
        else:
            assert names(disk) == []
            seen["none"] += 1
        if not died:
            break
        restore(disk, DEFAULT_TENANT, "docs", place, embedder=IDENTITY, replace=True, watcher=Watched())
        assert contents(disk, "docs") == new
        assert left_over(folder_of(disk, "docs")) == []
        shutil.rmtree(data)
    assert at > 30
    assert seen["new"] >= 1
    assert seen["old" if replacing else "none"] > 20
    assert not replacing or seen["none"] < 15  # the moment of the exchange
