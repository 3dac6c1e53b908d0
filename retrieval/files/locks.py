"""Who may change this collection? One process at a time, by three locks; readers need none.

    writing    its documents; an index run holds it from beginning to end
    folding    builds a generation, which may take minutes; nobody who writes waits for that
    pointing   moves the pointer to another generation, or the whole folder out of the way: for a moment only

Rule: who holds one may wait for those below it, never for those above it; so nobody waits in a circle.

The kernel drops a lock when its holder dies, however it dies: there is no stale lock to remove by hand.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from winnow.retrieval.errors import CollectionBusy
from winnow.retrieval.files.durable import make_folder, write_errors
from winnow.retrieval.files.layout import CollectionFolder

POINTING_SECONDS_MAX: Final = 5.0  # how long a moment may last, on a disk that is slow to sync
_RETRY_SECONDS: Final = 0.02  # flock has no time-out of its own


@contextmanager
def writing(folder: CollectionFolder, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Holds the collection's lock. Raises `CollectionBusy` where another holder keeps it longer than `wait_seconds`.

    Two threads of one process exclude each other as two processes do.
    """
    make_folder(folder.path)
    with _held(folder.lock, wait_seconds=wait_seconds, busy=folder.path.name):
        yield


@contextmanager
def folding(folder: CollectionFolder, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Holds the right to build generations. Raises `CollectionBusy`, and `WriteFailed` where the folder is gone."""
    with _held(folder.fold_lock, wait_seconds=wait_seconds, busy=f"{folder.path.name} is being folded"):
        yield


@contextmanager
def pointing(folder: CollectionFolder) -> Iterator[None]:
    """Holds the pointer. Raises `CollectionBusy`, and `WriteFailed` where the folder is gone."""
    with _held(folder.pointer_lock, wait_seconds=POINTING_SECONDS_MAX, busy=folder.path.name):
        yield


def is_written(folder: CollectionFolder) -> bool:
    """Whether somebody holds the collection's lock just now."""
    try:
        handle = os.open(folder.lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _is_locked(handle)
    finally:
        os.close(handle)


@contextmanager
def _held(path: Path, *, wait_seconds: float, busy: str) -> Iterator[None]:
    handle = _acquired(path, until=time.monotonic() + wait_seconds, busy=busy)
    try:
        yield
    finally:
        os.close(handle)  # and with it the lock


def _acquired(path: Path, *, until: float, busy: str) -> int:
    """The open file that carries the lock."""
    while True:
        with write_errors(path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        is_locked = _is_locked(handle)
        if is_locked and _is_still(path, handle):
            return handle
        os.close(handle)
        if is_locked:
            continue  # that of a collection which was removed meanwhile
        if time.monotonic() >= until:
            raise CollectionBusy(busy)
        time.sleep(_RETRY_SECONDS)


def _is_locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, handle: int) -> bool:
    """Whether the file has its name yet: a collection that was removed took its locks along, and they bind nobody."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
