"""Leases of writers that pause, and of writers without a fence. Their rows are in a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.leases.writer_lease import BUSY_SECONDS_MAX, SqlWriterLease, WriterLeases
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.lease import WriterLease
from winnow.retrieval.tenancy import DEFAULT_TENANT

LEASE_SECONDS: Final = 1.0  # of the first writer, which is paused for longer
TAKE_OVER_SECONDS_MAX: Final = 120.0


class PausingLease(SqlWriterLease):
    """Calls `pause` right after the taking, renewal or reservation of this number: the writer then believes to hold it.

    The taking of the lease is the first: what the writer then reads may be another's.
    """

    pause: Callable[[], None] = staticmethod(lambda: None)
    begun: Callable[[], None] = staticmethod(lambda: None)  # called with the lease held
    at: int = -1
    renewals: int = 0

    @contextmanager
    def writing(self, folder: CollectionFolder, *, wait_seconds: float = 0.0) -> Iterator[None]:
        with super().writing(folder, wait_seconds=wait_seconds):
            self.begun()
            self.count()
            yield

    def renew(self, *, newest: int = 0) -> bool:
        must_fence = super().renew(newest=newest)
        self.count()
        return must_fence

    def token(self) -> int | None:
        token = super().token()
        self.count()
        return token

    def take_numbers(self, count: int, *, least: int) -> int:
        first = super().take_numbers(count, least=least)
        self.count()
        return first

    def pass_version(self, version: int) -> int:
        largest = super().pass_version(version)
        self.count()
        return largest

    def still_folding(self) -> None:
        super().still_folding()
        self.count()

    def begin_move(self) -> int:
        token = super().begin_move()
        self.count()
        return token

    def require_move(self, token: int) -> None:
        super().require_move(token)
        self.count()

    def count(self) -> None:
        """Whoever pauses without the lease is no late writer: it takes the lease afterwards."""
        if self._token is None:
            return
        self.renewals += 1
        if self.renewals == self.at:
            self.pause()


class UnfencedLease(SqlWriterLease):
    """The control: takes over without a fence, and moves the pointer by the file lock alone."""

    expires = False  # type: ignore[misc]

    def renew(self, *, newest: int = 0) -> bool:
        super().renew(newest=newest)
        return False

    def begin_move(self) -> int:
        return 0

    def require_move(self, token: int) -> None:
        """Nothing is compared."""


class OneLease(WriterLeases):
    """Always the same one."""

    def __init__(self, lease: WriterLease) -> None:
        self._lease = lease

    @property
    def busy_seconds(self) -> float:
        return BUSY_SECONDS_MAX

    @property
    def sharing(self) -> str:
        return ""

    def of(self, tenant: str, collection: str) -> WriterLease:
        return self._lease


def lease(
    kind: type[SqlWriterLease],
    database: SqlDatabase,
    name: str,
    *,
    host: str = "one",
    seconds: float = 9.0,
    has_own_folder: bool = False,
) -> SqlWriterLease:
    """Writers with the same host take over at once, because neither holds the file lock of the other."""
    return kind(database, DEFAULT_TENANT, name, host=host, lease_seconds=seconds, has_own_folder=has_own_folder)
