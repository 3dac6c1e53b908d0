"""Stores that follow others at the same path, where a late writer of an earlier one may still commit.

Lance finds a store by its path and accepts a late commit if no version there is newer than the one that it builds on.
So where leases expire, versions at one path only ascend: the largest version of a store that leaves its path is
recorded with the lease, and the next store there begins with a fence above it. It is made elsewhere and gets its place
by one rename (api/collections/folder_moves.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from winnow.retrieval.files.durable import DISK, Syncer
from winnow.retrieval.files.lease import WriterLease
from winnow.retrieval.store.fence import fence_successor, newest_version
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.vector_format import VectorFormat

LATE_COMMITS_MAX: Final = 2  # of one writer between two renewals: Lance joins fragments in two commits


def pass_versions(path: Path, lease: WriterLease) -> int:
    """Record the versions of the store that leaves this path; return the largest of all that ever were there.

    Raises `WriterSuperseded`.
    """
    if not lease.expires:
        return 0
    newest = newest_version(path)
    return lease.pass_version(newest and newest + LATE_COMMITS_MAX)


def create_successor(
    path: Path,
    *,
    before: Path,
    dimension: int,
    vectors: VectorFormat = VectorFormat.FLOAT32,
    lease: WriterLease,
) -> None:
    """Create an empty store that is about to take the place of the one at `before`, if any.

    Raises `WriterSuperseded`, `WriteFailed`.
    """
    LanceStore.create(path, dimension=dimension, vectors=vectors, lease=lease)
    fence_restored(path, before=before, lease=lease)


def fence_restored(path: Path, *, before: Path, lease: WriterLease, syncer: Syncer = DISK) -> None:
    """Fence a complete store that is about to take the place of the one at `before`, if any.

    Raises `WriterSuperseded`, `WriteFailed`.
    """
    if lease.expires:
        fence_successor(path, above=pass_versions(before, lease), syncer=syncer)
