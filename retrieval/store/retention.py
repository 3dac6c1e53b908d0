"""Which old versions of a store may go? Those that were replaced long enough ago, while nobody holds on to them.

A search reads a version for the length of a request; so a version goes when another has stood in its place for two of
the longest requests. A build or a copy reads for longer and says so: it holds a lock, shared with others like it, and
whoever cleans up leaves everything as it is while somebody holds one. The kernel drops it when its holder dies.
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

SUPERSEDED_SECONDS: Final = 2 * TIMEOUT_MS_MAX / 1000  # no answer still reads a version that was replaced so long ago
HELD: Final = "held"  # beside Lance's own folders, like the next chunk number
_LARGEST: Final = (1 << 64) - 1  # Lance names a version's manifest by its distance to this one


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """No version of the store at this path goes while the block runs."""
    handle = _opened(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


@contextmanager
def nobody_holding(path: Path) -> Iterator[bool]:
    """Whether nobody holds on to a version; then nobody can begin to while the block runs."""
    handle = _opened(path)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def superseded(manifests: Sequence[Path], *, now: float) -> list[int]:
    """The versions among these manifests, newest first, that another one replaced long enough ago."""
    with write_errors(manifests[0].parent):
        made = [manifest.stat().st_mtime for manifest in manifests]
    return [
        _LARGEST - int(manifest.stem)
        for manifest, replaced_at in zip(manifests[1:], made, strict=False)
        if now - replaced_at > SUPERSEDED_SECONDS
    ]


def _opened(path: Path) -> int:
    with write_errors(path):
        return os.open(path / HELD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
