"""Two hosts that share a folder restore one name at once: each builds in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import PostgresServer
from tests.snapshots import IDENTITY, Watched, contents, folder_of, made
from winnow.api.collections.backups import restore, snapshot
from winnow.api.collections.data_folder import DataFolder
from winnow.api.diagnostics.verify import verified
from winnow.retrieval.backup.place import FolderPlace
from winnow.retrieval.backup.transfer import Watcher
from winnow.retrieval.catalog.sql.leases.writer_lease import WriterLeases
from winnow.retrieval.errors import CollectionBusy, CollectionExists, WriteFailed
from winnow.retrieval.generation.listing import left_over
from winnow.retrieval.tenancy import DEFAULT_TENANT


@dataclass(slots=True)
class Meanwhile:
    """Calls something once, after a share of the snapshot's bytes. Implements `Watcher`."""

    call: Callable[[], None]
    share: float
    size: int = 0
    seen: int = 0
    is_called: bool = False

    def started(self, doing: str, size: int | None) -> None:
        self.size = size or self.size

    def advanced(self, size: int) -> None:
        self.seen += size
        if not self.is_called and self.seen >= self.share * self.size:
            self.is_called = True
            self.call()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Snapshots of two collections, and beside each the data folder that it was taken of."""
    found = {word: tmp_path_factory.mktemp(word) for word in ("first", "second")}
    for word, place in found.items():
        disk = made(place / "data", documents=4, word=word)
        snapshot(disk, DEFAULT_TENANT, "docs", FolderPlace(place / "snapshot"), watcher=Watched())
    return found


@pytest.fixture
def hosts(tmp_path: Path, postgres: PostgresServer) -> tuple[DataFolder, DataFolder]:
    url = postgres.new(template="winnow_template")
    one, two = (host_over(DataFolder.open(tmp_path / "data", url), name) for name in ("one", "two"))
    return one, two


def host_over(disk: DataFolder, name: str) -> DataFolder:
    return replace(disk, catalog=replace(disk.catalog, leases=WriterLeases(disk.catalog.database, host=name)))


def bring(disk: DataFolder, place: Path, watcher: Watcher | None = None, *, replacing: bool = True) -> None:
    restore(
        disk,
        DEFAULT_TENANT,
        "docs",
        FolderPlace(place / "snapshot"),
        embedder=IDENTITY,
        replace=replacing,
        watcher=watcher or Watched(),
    )


def said(disk: DataFolder) -> dict[str, Any]:
    """All that is restored: versions of the store go on where another collection has been."""
    return contents(disk, "docs") | {"version": 0}


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("sees_locks", [True, False], ids=["locks are seen", "no lock is seen"])
def test_they_share_no_file(
    hosts: tuple[DataFolder, DataFolder], places: dict[str, Path], share: float, *, sees_locks: bool
) -> None:
    """The last one stays. Where hosts do not see each other's locks, the first to finish ends the other one."""
    one, two = hosts

    def other() -> None:
        if not sees_locks:
            for each in folder_of(one, "docs").restorings():
                each.lock.unlink()
        bring(two, places["second"])

    ended = pytest.raises(CollectionBusy, match="another restore of docs has finished")
    with nullcontext() if sees_locks else ended:
        bring(one, places["first"], Meanwhile(other, share))
    left = "first" if sees_locks else "second"
    assert said(one) == said(two) == said(DataFolder.open(places[left] / "data"))
    assert [check.fault for check in verified(one) if check.fault] == []
    assert left_over(folder_of(one, "docs")) == []


def test_without_replace_the_second_one_finds_the_name_taken(
    hosts: tuple[DataFolder, DataFolder], places: dict[str, Path]
) -> None:
    """And leaves nothing."""
    one, two = hosts
    with pytest.raises(CollectionExists):
        bring(one, places["first"], Meanwhile(lambda: bring(two, places["second"]), 0.5), replacing=False)
    assert said(one) == said(DataFolder.open(places["second"] / "data"))
    assert left_over(folder_of(one, "docs")) == []


def test_only_a_restore_that_sees_its_lock_continues_another_one(
    hosts: tuple[DataFolder, DataFolder], places: dict[str, Path]
) -> None:
    """Its folder is not read by another host, which removes it when it has finished."""

    def fail() -> None:
        raise WriteFailed("no room")

    one, two = hosts
    folder = folder_of(one, "docs")
    for _ in range(2):
        with pytest.raises(WriteFailed):
            bring(one, places["first"], Meanwhile(fail, 0.5))
    (left,) = folder.restorings()
    with pytest.raises(WriteFailed):
        bring(two, places["first"], Meanwhile(fail, 0.5))
    assert {each.path for each in folder.restorings()} > {left.path}
    bring(two, places["second"])
    assert left_over(folder) == []
