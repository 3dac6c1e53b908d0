"""Locks for changes to a collection: one process at a time, with three locks. Readers need none.

    writing    its documents; an index run holds it from start to end
    folding    builds a generation, which may take minutes; writers do not wait for it
    pointing   switches the pointer to another generation, or moves the whole folder away: only for a moment

Rule: a holder may wait for the locks below its own, never for those above, so no cycle can form.

A caller that has to wait also holds the lock's `.next` file, one process at a time, and a new caller lets it go first.
So a process with many writers cannot take the lock again and again while another one waits.

The kernel releases a lock when its holder dies for any reason: there are no stale locks to remove.
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
from winnow.retrieval.files.layout import NEXT, CollectionFolder

POINTING_SECONDS_MAX: Final = 5.0  # the longest moment, on a disk that is slow to sync
_RETRY_SECONDS: Final = 0.02  # flock has no timeout


@contextmanager
def writing(folder: CollectionFolder, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the collection's lock. Raises `CollectionBusy` if another holder keeps it longer than `wait_seconds`.

    Two threads of one process exclude each other like two processes.
    """
    make_folder(folder.path)
    with _held(folder.lock, wait_seconds=wait_seconds, busy=folder.path.name):
        yield


@contextmanager
def folding(folder: CollectionFolder, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the right to build generations. Raises `CollectionBusy`, and `WriteFailed` if the folder is gone."""
    with _held(folder.fold_lock, wait_seconds=wait_seconds, busy=f"a new index of {folder.path.name} is being built"):
        yield


@contextmanager
def pointing(folder: CollectionFolder) -> Iterator[None]:
    """Hold the pointer. Raises `CollectionBusy`, and `WriteFailed` if the folder is gone."""
    with _held(folder.pointer_lock, wait_seconds=POINTING_SECONDS_MAX, busy=folder.path.name):
        yield


def is_written(folder: CollectionFolder) -> bool:
    """Whether the collection's lock is held just now."""
    return _is_held(folder.lock)


@contextmanager
def _held(path: Path, *, wait_seconds: float, busy: str) -> Iterator[None]:
    handle = _acquire(path, until=time.monotonic() + wait_seconds, busy=busy)
    try:
        yield
    finally:
        os.close(handle)  # this also releases the lock


def _acquire(path: Path, *, until: float, busy: str) -> int:
    """Return the open file that carries the lock."""
    following = path.with_name(f"{path.name}{NEXT}")
    with write_errors(following):
        is_awaited = _is_held(following)
    if not is_awaited and (handle := _try(path)) is not None:
        return handle
    if time.monotonic() >= until:
        raise CollectionBusy(busy)
    turn = _poll(following, until=until, busy=busy)
    try:
        return _poll(path, until=until, busy=busy)
    finally:
        os.close(turn)


def _poll(path: Path, *, until: float, busy: str) -> int:
    while (handle := _try(path)) is None:
        if time.monotonic() >= until:
            raise CollectionBusy(busy)
        time.sleep(_RETRY_SECONDS)
    return handle


def _try(path: Path) -> int | None:
    """Return the open file that carries the lock, or None if another one carries it."""
    while True:
        with write_errors(path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        is_locked = _is_locked(handle)
        if is_locked and _is_still(path, handle):
            return handle
        os.close(handle)
        if not is_locked:
            return None  # otherwise it belongs to a collection that was removed meanwhile


def _is_held(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _is_locked(handle)
    finally:
        os.close(handle)


def _is_locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, handle: int) -> bool:
    """Whether the file still has its name: a removed collection took its locks along, and they protect nothing."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
