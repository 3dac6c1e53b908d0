"""Who writes to this collection? One process at a time; readers need no lock.

The kernel drops the lock when its holder dies, however it dies: there is no stale lock to remove by hand.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from retrieval.durable import make_folder, write_errors
from retrieval.errors import CollectionBusy
from retrieval.layout import CollectionFolder

_RETRY_SECONDS: Final = 0.02  # flock has no time-out of its own


@contextmanager
def writing(folder: CollectionFolder, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Holds the collection's lock. Raises `CollectionBusy` where another holder keeps it longer than `wait_seconds`.

    Two threads of one process exclude each other as two processes do.
    """
    make_folder(folder.path)
    with write_errors(folder.lock):
        handle = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _acquire(handle, folder, until=time.monotonic() + wait_seconds)
        yield
    finally:
        os.close(handle)  # and with it the lock


def _acquire(handle: int, folder: CollectionFolder, *, until: float) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise CollectionBusy(folder.path.name) from None
            time.sleep(_RETRY_SECONDS)
        else:
            return
