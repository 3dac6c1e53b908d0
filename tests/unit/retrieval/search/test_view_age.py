"""retrieval/search/reader.py: how old a view may be, and who looks for a newer one."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import NoReturn

import pytest

from tests.builders import DIMENSION, written
from tests.fakes import MemoryStore
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import StoreCorrupt
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.search import reader as reader_module
from winnow.retrieval.search.reader import IndexReader, Searcher

IDENTITY = EmbedderIdentity(name="hash", revision="r1", dimension=DIMENSION)


@pytest.fixture
def folder(tmp_path: Path) -> CollectionFolder:
    return CollectionFolder(tmp_path / "c")


def searchable(folder: CollectionFolder, store: MemoryStore) -> IndexReader:
    return IndexReader(folder=folder, store=store, identity=IDENTITY)


def test_a_view_is_never_too_old(folder: CollectionFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another thread checks the disk, a young view serves at once; an old one waits for what is there now."""
    monkeypatch.setattr(reader_module, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(reader_module, "AGE_SECONDS_MAX", 60.0)
    store = MemoryStore()
    store.replace([written("a", "text")])
    opened = searchable(folder, store)
    opened.view()
    store.replace([written("b", "more")])
    with opened._lock:
        assert opened.view().snapshot.counts()[0] == 1
        monkeypatch.setattr(reader_module, "AGE_SECONDS_MAX", 0.0)
        seen: list[Searcher] = []
        waiting = threading.Thread(target=lambda: seen.append(opened.view()))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
    waiting.join()
    assert seen[0].snapshot.counts()[0] == 2


def test_a_view_at_hand_is_the_newest_and_never_old(folder: CollectionFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is None before the first view, once it is too old, and for a collection with nothing in it."""
    monkeypatch.setattr(reader_module, "REFRESH_SECONDS", 60.0)
    monkeypatch.setattr(reader_module, "AGE_SECONDS_MAX", 60.0)
    store = MemoryStore()
    reader = searchable(folder, store)
    assert reader.view_at_hand() is None
    reader.follow()
    assert reader.view_at_hand() is None
    for name in "ab":
        store.replace([written(name, "1")])
        assert reader.follow() is reader.view_at_hand() is reader.newest
    monkeypatch.setattr(reader_module, "AGE_SECONDS_MAX", 0.0)
    assert reader.view_at_hand() is None


def test_a_view_at_hand_is_renewed_in_the_background(folder: CollectionFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one thread at a time, while the old view answers: no search waits for a look at the disk."""
    monkeypatch.setattr(reader_module, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(reader_module, "AGE_SECONDS_MAX", 60.0)
    store = MemoryStore()
    store.replace([written("a", "1")])
    reader = searchable(folder, store)
    first = reader.follow()
    store.replace([written("b", "1")])
    with reader._lock:
        assert all(reader.view_at_hand() is first for _ in range(20))
        assert sum(each.name == "check-collection" for each in threading.enumerate()) == 1
    while (newer := reader.view_at_hand()) is first:
        time.sleep(0.001)
    assert newer is not None
    assert newer.snapshot.count() == 2


def test_a_failed_look_in_the_background_is_the_next_searchs_to_report(
    folder: CollectionFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The view serves until it is too old, the log says why it is not renewed, and later looks are made again."""
    monkeypatch.setattr(reader_module, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(reader_module, "AGE_SECONDS_MAX", 60.0)
    store = MemoryStore()
    store.replace([written("a", "1")])
    reader = searchable(folder, store)
    first, intact = reader.follow(), store.snapshot

    def broken() -> NoReturn:
        raise StoreCorrupt("broken")

    monkeypatch.setattr(store, "snapshot", broken)
    assert reader.view_at_hand() is first
    while "could not be checked for changes" not in caplog.text:
        time.sleep(0.001)
    assert reader.view_at_hand() is first
    monkeypatch.setattr(store, "snapshot", intact)
    store.replace([written("b", "1")])
    while reader.view_at_hand() is first:
        time.sleep(0.001)
