"""What differs between SQLite and PostgreSQL for the catalog. The contract."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sql
from sqlalchemy.exc import DBAPIError

from winnow.retrieval.errors import WinnowError


class Backend(Protocol):
    """One database. Transactions mean the same on both: one writer at a time, durable when they return."""

    @property
    def place(self) -> str:
        """The location for messages, without any password."""
        ...

    def engine(self) -> sql.Engine:
        """Create the engine, which connects on demand. Raises `SettingInvalid` and `WriteFailed`."""
        ...

    def begin_snapshot(self, connection: sql.Connection) -> None:
        """Begin a transaction whose statements all see the state before the first of them."""
        ...

    def begin_writing(self, connection: sql.Connection) -> None:
        """Wait for the turn among writers, before anything is read."""
        ...

    def require_unmoved(self, connection: sql.Connection | None = None) -> None:
        """Check that this connection, or this process, still uses the database at its place.

        Does not query the server. Raises `StorageMoved`.
        """
        ...

    def begin_migrating(self, connection: sql.Connection) -> None:
        """Like `begin_writing`, for a transaction that changes tables."""
        ...

    def check_migrated(self, connection: sql.Connection) -> None:
        """Check, before the commit, that the migrated data is sound. Raises `StoreCorrupt`."""
        ...

    def faults(self, connection: sql.Connection) -> Iterator[str]:
        """Yield what differs from what was written, one sentence each, as far as the database can tell."""
        ...

    def count_on(self, connection: sql.Connection, column: sql.Column[Any]) -> None:
        """Make the next number that the database assigns greater than all existing ones."""
        ...

    def now(self, connection: sql.Connection) -> datetime:
        """Return the time in UTC by the one clock that all processes share, at this moment of the transaction."""
        ...

    def version(self, engine: sql.Engine) -> int | None:
        """Return a number that every commit of any process changes; None if that cannot be known without waiting.

        Numbers are comparable until `close`. Opens a connection at its first call, and waits for nothing afterwards.
        """
        ...

    def close(self) -> None:
        """Close the connection that `version` opened; from then on it returns None."""
        ...

    def translated(self, error: DBAPIError) -> WinnowError:
        """Translate an error of the driver into one of winnow's."""
        ...
