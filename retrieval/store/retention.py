"""Decides which old versions of a store may be removed: those replaced long enough ago, while no reader holds them.

A search reads a version for the length of a request, so a version may go once it has been replaced for twice the
longest request. A build or a copy reads for longer and takes a shared lock; a clean-up changes nothing while anyone
holds it. The kernel releases the lock when its holder dies.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from winnow.retrieval.files.durable import write_errors
from winnow.retrieval.limits import TIMEOUT_MS_MAX

SUPERSEDED_SECONDS: Final = 2 * TIMEOUT_MS_MAX / 1000  # no request still reads a version replaced this long ago
HELD: Final = "held"  # next to Lance's own folders, like the next chunk number
_LARGEST: Final = (1 << 64) - 1  # Lance names a version's manifest by its distance to this


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Keep all versions of the store at this path during the block."""
    handle = _open(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


@contextmanager
def try_exclusive(path: Path) -> Iterator[bool]:
    """Yield whether no reader holds a version; if so, none can start to during the block."""
    handle = _open(path)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def find_superseded(manifests: Sequence[Path], *, now: float) -> list[int]:
    """Return the versions that were replaced long enough ago, from their manifests, newest first."""
    with write_errors(manifests[0].parent):
        made = [manifest.stat().st_mtime for manifest in manifests]
    return [
        _LARGEST - int(manifest.stem)
        for manifest, replaced_at in zip(manifests[1:], made, strict=False)
        if now - replaced_at > SUPERSEDED_SECONDS
    ]


def _open(path: Path) -> int:
    with write_errors(path):
        return os.open(path / HELD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
