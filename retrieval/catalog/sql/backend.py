"""What differs between SQLite and PostgreSQL, as far as the catalog is concerned. The contract."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import sqlalchemy as sql
from sqlalchemy.exc import DBAPIError

from winnow.retrieval.errors import WinnowError


class Backend(Protocol):
    """One database. What a transaction means is the same on both: one writer at a time, durable when it returns."""

    @property
    def place(self) -> str:
        """Where it is, for people: never a password."""
        ...

    def engine(self) -> sql.Engine:
        """Connections are made when they are needed. Raises `SettingInvalid` and `WriteFailed`."""
        ...

    def begin_snapshot(self, connection: sql.Connection) -> None:
        """Every statement from here on sees what was committed before the first of them."""
        ...

    def begin_writing(self, connection: sql.Connection) -> None:
        """Waits for its turn among the writers, before anything is read."""
        ...

    def require_unmoved(self, connection: sql.Connection | None = None) -> None:
        """What this connection has open, or this process at all, is the database at its place.

        Asks no server. Raises `StorageMoved`.
        """
        ...

    def begin_migrating(self, connection: sql.Connection) -> None:
        """As `begin_writing`, for a transaction that changes tables."""
        ...

    def check_migrated(self, connection: sql.Connection) -> None:
        """Before the commit: is what the migration left sound? Raises `StoreCorrupt`."""
        ...

    def faults(self, connection: sql.Connection) -> Iterator[str]:
        """What is not as it was written, one sentence each, as far as the database can tell."""
        ...

    def count_on(self, connection: sql.Connection, column: sql.Column[Any]) -> None:
        """The next row that the database numbers gets a number above all that are there."""
        ...

    def translated(self, error: DBAPIError) -> WinnowError:
        """One of ours for one of the driver's."""
        ...
