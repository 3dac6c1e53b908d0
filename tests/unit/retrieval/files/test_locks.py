"""Locks between processes: who waits gets its turn, whoever else asks."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.unit.retrieval.files.turns import TURNS_MAX, turns_of_the_other
from winnow.retrieval.errors import CollectionBusy
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.locks import is_written, writing


@pytest.fixture
def folder(tmp_path: Path) -> CollectionFolder:
    return CollectionFolder(tmp_path / "docs")


def test_a_writer_that_asks_again_at_once_does_not_keep_the_lock(folder: CollectionFolder) -> None:
    for _ in range(5):
        assert turns_of_the_other(lambda seconds: writing(folder, wait_seconds=seconds)) <= TURNS_MAX


def test_what_does_not_wait_leaves_the_lock_to_who_does(folder: CollectionFolder) -> None:
    """A clean-up tries once: while a writer waits, it does not even take a lock that has just become free."""

    def wait() -> None:
        with writing(folder, wait_seconds=30.0):
            pass

    with writing(folder):
        waiting = threading.Thread(target=wait)
        following = folder.lock.with_name("lock.next")
        waiting.start()
        end = time.monotonic() + 30
        while not following.exists() and time.monotonic() < end:
            time.sleep(0.01)
        with pytest.raises(CollectionBusy), writing(folder):
            pass
    waiting.join()


def test_a_wait_ends_in_time(folder: CollectionFolder) -> None:
    with writing(folder):
        began = time.monotonic()
        with pytest.raises(CollectionBusy), writing(folder, wait_seconds=0.2):
            pass
        assert time.monotonic() - began >= 0.2
        assert is_written(folder)
    assert not is_written(folder)
    with writing(folder):
        pass
