"""A creation finds another one of the same name in the middle of moving its files into place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.snapshots import IDENTITY, Watched, folder_of, taken_in
from winnow.api.collections.backups import restore
from winnow.api.collections.data_folder import DataFolder
from winnow.api.collections.folder_moves import Exchanging
from winnow.retrieval.backup.place import FolderPlace
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.catalog.sql.leases import writer_lease
from winnow.retrieval.errors import CollectionExists
from winnow.retrieval.files import folder_contents
from winnow.retrieval.files.layout import NEXT, CollectionFolder, created_at_of
from winnow.retrieval.tenancy import DEFAULT_TENANT


def collection() -> Collection:
    now = datetime.now(UTC)
    return Collection(tenant=DEFAULT_TENANT, name="docs", embedder=IDENTITY, chunk_tokens=77, created_at=now)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> FolderPlace:
    """A snapshot of a collection, which is only read."""
    return taken_in(tmp_path_factory.mktemp("outside"), documents=2)


def until(is_true: Callable[[], bool]) -> None:
    """Wait for another thread; pytest ends what takes too long."""
    while not is_true():
        time.sleep(0.002)


@pytest.mark.parametrize("way", ["make", "restore", "replace"])
def test_a_creation_that_moves_its_files_is_not_taken_for_a_foreign_folder(
    tmp_path: Path, place: FolderPlace, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second looks for the creation time while the first moves that file: it waits for the first, and sees it."""
    root = tmp_path / "data"
    first, second = DataFolder.open(root), DataFolder.open(root)
    folder = folder_of(first, "docs")
    may_move, may_end = threading.Event(), threading.Event()
    put = Exchanging._put

    def held_put(self: Exchanging, source: Path, target: Path) -> None:
        (may_move if target == folder.made else may_end).wait()
        put(self, source, target)

    def late_read(part: CollectionFolder) -> datetime | None:
        if part.path != folder.path and not may_move.is_set():  # the file was there just now
            may_move.set()
            until(lambda: not part.made.exists())
        return created_at_of(part)

    def created() -> None:
        if way == "make":
            second.make(collection())
        else:
            replacing = way == "replace"
            restore(second, DEFAULT_TENANT, "docs", place, embedder=IDENTITY, replace=replacing, watcher=Watched())

    monkeypatch.setattr(writer_lease, "BUSY_SECONDS_MAX", 250.0)
    monkeypatch.setattr(Exchanging, "_put", held_put)
    with ThreadPoolExecutor(2) as pool:
        making = pool.submit(first.make, collection())
        until(lambda: any(each.new.corpus.exists() for each in folder.exchanges()) or making.done())
        monkeypatch.setattr(folder_contents, "created_at_of", late_read)
        trying = pool.submit(created)
        until(lambda: trying.done() or folder.lock.with_name(f"{folder.lock.name}{NEXT}").exists())
        was_waiting = not trying.done()
        may_move.set()
        may_end.set()
        making.result()
        error = trying.exception()
    assert (type(error), was_waiting) == (type(None) if way == "replace" else CollectionExists, True)
    found = second.describe(second.catalog.collections.get(DEFAULT_TENANT, "docs"))
    assert (bool(found.documents), found.problem) == (way == "replace", None)
    for disk in (first, second):
        disk.catalog.database.close()
