"""The right to write to one collection, which one writer has at a time.

    one host         the file lock of retrieval/files/locks.py. The kernel keeps it for its holder until that process
                     ends, however long it pauses, so no writer is ever superseded.
    several hosts    the same, and a row of the catalog on PostgreSQL (retrieval/catalog/sql/leases.py). The row
                     expires, because another host cannot know whether a silent writer is dead.

A writer whose row expired during a pause does not know it when it continues. Two things protect the collection: each
commit and each removal of files renews the row first, and a successor of such a writer fences the store before its
first commit (retrieval/store/fence.py), so that the store refuses what the earlier writer still sends.

The pointer to the current generation moves without the lease, because a build must not wait for a writer. Each move
takes a token of its own, and the newest token is the only one that counts (retrieval/generation/pointer.py).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Final, Protocol

from winnow.retrieval.files import locks
from winnow.retrieval.files.layout import CollectionFolder


class WriterLease(Protocol):
    """The lease of one collection, as one process sees it."""

    @property
    def expires(self) -> bool:
        """Whether another writer may take over while this one still runs."""
        ...

    def writing(self, folder: CollectionFolder, *, wait_seconds: float = 0.0) -> AbstractContextManager[None]:
        """Hold the lease. Raises `CollectionBusy` if another writer has it for longer than `wait_seconds`."""
        ...

    def folding(self, folder: CollectionFolder, *, wait_seconds: float = 0.0) -> AbstractContextManager[None]:
        """Hold the right to build and remove generations, which writers do not wait for. Raises `CollectionBusy`."""
        ...

    def still_folding(self) -> None:
        """Extend that right, before a generation is made current. Raises `CollectionBusy` if another host has it."""
        ...

    def renew(self, *, newest: int = 0) -> bool:
        """Extend the lease, before a commit or a removal; return whether the store must be fenced before it.

        `newest` is announced as the store's newest version, unless it is 0. Raises `WriterSuperseded` if another writer
        took over.
        """
        ...

    def token(self) -> int | None:
        """Return the token that a change of the catalog must find in the lease's row; None if no other host takes over.

        The caller holds the lease.
        """
        ...

    def announced(self) -> int | None:
        """Return the newest version that writers announced: no later one was acknowledged. None if it is not known.

        The caller need not hold the lease.
        """
        ...

    def fenced(self) -> None:
        """Record that the store is fenced. Raises `WriterSuperseded`."""
        ...

    def take_numbers(self, count: int, *, least: int) -> int:
        """Reserve `count` chunk numbers for good, all at least `least`; return the first. Raises `WriterSuperseded`."""
        ...

    def pass_version(self, version: int) -> int:
        """Record that the collection's store had this version; return the largest recorded, also of removed stores.

        Raises `WriterSuperseded`.
        """
        ...

    def begin_move(self) -> int:
        """Return the token of a new move of the pointer. Every earlier move is refused from now on."""
        ...

    def require_move(self, token: int) -> None:
        """Raise `CollectionBusy` if another move of the pointer has begun since."""
        ...


class OneHostLease:
    """The file lock alone. Implements `WriterLease`; the caller keeps the next chunk number in its file."""

    expires: Final = False

    def writing(self, folder: CollectionFolder, *, wait_seconds: float = 0.0) -> AbstractContextManager[None]:
        return locks.writing(folder, wait_seconds=wait_seconds)

    def folding(self, folder: CollectionFolder, *, wait_seconds: float = 0.0) -> AbstractContextManager[None]:
        return locks.folding(folder, wait_seconds=wait_seconds)

    def still_folding(self) -> None:
        """Nothing to extend."""

    def renew(self, *, newest: int = 0) -> bool:
        del newest
        return False

    def token(self) -> int | None:
        return None

    def announced(self) -> int | None:
        return None

    def fenced(self) -> None:
        """Nothing to record."""

    def take_numbers(self, count: int, *, least: int) -> int:
        del count
        return least

    def pass_version(self, version: int) -> int:
        return version

    def begin_move(self) -> int:
        return 0

    def require_move(self, token: int) -> None:
        """Nothing to compare: the file lock excludes other moves."""


ONE_HOST: Final = OneHostLease()
