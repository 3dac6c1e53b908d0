"""Bounds the bytes of indexes that a host keeps of collections in a bucket.

Any of them can be fetched again, or be built from the store. So when there are too many bytes, the indexes of the
collection that was opened or fetched longest ago go first, all of them; collections that a process of this host has
open stay whole, because their indexes serve.
"""

from __future__ import annotations

import fcntl
import logging
import os
from secrets import token_hex
from typing import Final

from winnow.retrieval.errors import CollectionBusy
from winnow.retrieval.files.durable import make_folder, remove, write_errors
from winnow.retrieval.files.layout import CollectionFolder, Layout
from winnow.retrieval.files.locks import folding, pointing
from winnow.retrieval.files.sizes import bytes_below

MEGABYTE: Final = 1_000_000

log = logging.getLogger(__name__)


class InUse:
    """Keeps the indexes of a collection in this host's cache until it is closed, or garbage."""

    def __init__(self, folder: CollectionFolder) -> None:
        self._handle = -1
        make_folder(folder.path)
        with write_errors(folder.in_use):
            self._handle = os.open(folder.in_use, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._handle, fcntl.LOCK_SH)
        os.utime(folder.in_use)

    def close(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    __del__ = close


def make_room(layout: Layout, bytes_wanted: int, *, bytes_max: int, but: CollectionFolder | None = None) -> int:
    """Remove indexes until there is room for so many bytes, as far as possible; return the bytes removed.

    Those of `but` stay.
    """
    sizes = {folder.path: bytes_below(folder.generations) for folder in _cached(layout)}
    over = sum(sizes.values()) + bytes_wanted - bytes_max
    removed = 0
    for path in sorted(sizes, key=lambda each: _used_at(CollectionFolder(each))):
        if removed >= over:
            break
        if but is None or path != but.path:
            removed += sizes[path] if _evict(CollectionFolder(path)) else 0
    if removed < over and bytes_wanted:
        log.warning(
            "the indexes in use exceed WINNOW_INDEX_CACHE_MB by %d MB; raise it, or use fewer collections on this host",
            (over - removed) // MEGABYTE,
        )
    return removed


def _cached(layout: Layout) -> list[CollectionFolder]:
    """Return the folders with indexes."""
    return [CollectionFolder(path.parent) for path in layout.tenants.glob("*/*/generations")]


def _used_at(folder: CollectionFolder) -> float:
    try:
        return folder.in_use.stat().st_mtime
    except OSError:
        return 0.0


def _evict(folder: CollectionFolder) -> bool:
    """Remove all indexes of a collection; return whether it was possible: nothing on this host uses or builds any."""
    try:
        handle = os.open(folder.in_use, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:  # the collection was removed just now
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with folding(folder), pointing(folder):
            doomed = folder.generations.with_name(f"{folder.generations.name}.{token_hex(4)}.tmp")
            with write_errors(folder.generations):
                folder.generations.rename(doomed)
            for pointer in (folder.current, folder.rolled_back):
                remove(pointer)
            remove(doomed)
    except (BlockingIOError, CollectionBusy):
        return False
    finally:
        os.close(handle)
    return True
