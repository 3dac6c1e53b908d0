"""Stores that follow others at the same path, where a late writer of an earlier one may still commit.

Lance finds a store by its path and accepts a late commit if no version there is newer than the one that it builds on.
So where leases expire, versions at one path only ascend: the largest version of a store that leaves its path is
recorded with the lease, and the next store there begins with a fence above it. It is made beside the path and gets its
place by one rename.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from secrets import token_hex
from typing import Final

from winnow.retrieval.errors import CollectionBusy
from winnow.retrieval.files.durable import DISK, Syncer, remove, write_errors
from winnow.retrieval.files.lease import WriterLease
from winnow.retrieval.store.fence import fence_successor, newest_version
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.vector_format import VectorFormat

LATE_COMMITS_MAX: Final = 2  # of one writer between two renewals: Lance joins fragments in two commits
_TRIES_MAX: Final = 8  # each failed one means that a late commit has just created a folder at the path


def pass_versions(path: Path, lease: WriterLease) -> int:
    """Record the versions of the store that leaves this path; return the largest of all that ever were there.

    Raises `WriterSuperseded`.
    """
    if not lease.expires:
        return 0
    newest = newest_version(path)
    return lease.pass_version(newest and newest + LATE_COMMITS_MAX)


def create_successor(
    path: Path, *, dimension: int, vectors: VectorFormat = VectorFormat.FLOAT32, lease: WriterLease
) -> None:
    """Create an empty store at a path where nothing is, unless a late commit arrives. Raises `WriteFailed`.

    Also raises `WriterSuperseded`, and `CollectionBusy` if late commits keep arriving.
    """
    if not lease.expires:
        LanceStore.create(path, dimension=dimension, vectors=vectors, lease=lease)
        return
    for left in path.parent.glob(f"{path.name}.*.tmp"):  # also of a late creation, which then finds nothing to rename
        remove(left)
    beside = path.with_name(f"{path.name}.{token_hex(4)}.tmp")
    LanceStore.create(beside, dimension=dimension, vectors=vectors, lease=lease)
    fence_successor(beside, above=pass_versions(path, lease))
    for _ in range(_TRIES_MAX):
        lease.renew()
        if _take_place(beside, path):
            DISK.sync(path.parent)
            return
        remove(path)
    raise CollectionBusy(f"{path.parent.name}: earlier writers still commit to it; repeat the request")


def fence_restored(path: Path, *, before: Path, lease: WriterLease, syncer: Syncer = DISK) -> None:
    """Fence a complete store that is about to take the place of the one at `before`, if any.

    Raises `WriterSuperseded`, `WriteFailed`.
    """
    if lease.expires:
        fence_successor(path, above=pass_versions(before, lease), syncer=syncer)


def _take_place(beside: Path, path: Path) -> bool:
    """Rename; return False if a folder with files is at the path."""
    with write_errors(path):
        try:
            os.rename(beside, path)  # noqa: PTH104  Path.replace has another meaning for folders on some systems
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                return False
            raise
    return True
