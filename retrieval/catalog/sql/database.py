"""The SQL database of a deployment: transactions for reading and writing, with winnow's errors.

All SQL stores share one database: `SqlCollections(database)` and those of the other modules here.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sql
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from winnow.retrieval.catalog.sql.backend import Backend
from winnow.retrieval.catalog.sql.migrate import Schema, is_newest, migrate, migrate_down, schema_of
from winnow.retrieval.catalog.sql.postgres import Postgres
from winnow.retrieval.catalog.sql.sqlite import Sqlite
from winnow.retrieval.concurrency.silence import Silence
from winnow.retrieval.errors import CatalogUnavailable, StoreCorrupt, WinnowError

SILENT_SECONDS: Final = 10.0  # without an answer; a shorter pause fails only calls that need a new connection
ASKED_SECONDS_MAX: Final = 20.0  # until a call that asks a silent server has failed


class SqlDatabase:
    """Can be shared between threads and processes; a transaction's writes are on the disk when it ends.

    Every transaction raises `CatalogUnavailable`, `StoreCorrupt` and `WriteFailed`, and `InvalidRequest` for a text
    that a database cannot store. Writing raises `StorageMoved` if the database is no longer where it was opened.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._engine = backend.engine()
        self._silence = Silence(slow_seconds=SILENT_SECONDS)
        for closing in (self._engine.dispose, backend.close):  # a command that ends closes its connections
            weakref.finalize(self, closing)

    @classmethod
    def open(cls, place: Path | str) -> SqlDatabase:
        """Open SQLite's file (a path) or PostgreSQL's URL (a text), and upgrade it to the newest schema.

        An empty database gets its tables, one of an earlier winnow is upgraded; several processes may do so at once.
        Raises `StoreCorrupt`, also for a schema of a later winnow, `SettingInvalid`, `CatalogUnavailable` and
        `WriteFailed`.
        """
        database = cls.at(place)
        with ExitStack() as on_failure:
            on_failure.callback(database.close)
            database.upgrade()
            on_failure.pop_all()
        return database

    @classmethod
    def at(cls, place: Path | str) -> SqlDatabase:
        """Like `open`, but keep the schema: to inspect or change it."""
        return cls(Sqlite(place) if isinstance(place, Path) else Postgres(place))

    @property
    def place(self) -> str:
        """The location for messages, without any password."""
        return self._backend.place

    @property
    def is_on_server(self) -> bool:
        """Whether processes of several hosts may share this database."""
        return isinstance(self._backend, Postgres)

    def close(self) -> None:
        """Close the connections, which otherwise happens when nothing refers to this any more."""
        self._engine.dispose()
        self._backend.close()

    def version(self) -> int | None:
        """Return a number that every commit of any process changes: what was read under it is still true.

        None if the database cannot tell without waiting. Only the first call may block. Numbers mean nothing to other
        processes.
        """
        return self._backend.version(self._engine)

    @contextmanager
    def reading(self) -> Iterator[sql.Connection]:
        """Open a reading transaction; each statement sees what was committed before it."""
        with self._translate_errors(), self._connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sql.Connection]:
        """Open a reading transaction whose statements all see the state before the first of them."""
        with self.reading() as connection:
            self._backend.begin_snapshot(connection)
            yield connection

    def batches(
        self, connection: sql.Connection, wanted: sql.Select[Any], *, rows: int
    ) -> Iterator[Sequence[sql.Row[Any]]]:
        """Yield the selected rows in batches of `rows`.

        Errors are reported as this database's, even inside a transaction of another one.
        """
        with self._translate_errors(), connection.execute(wanted, execution_options={"yield_per": rows}) as found:
            yield from found.partitions()

    @contextmanager
    def writing(self) -> Iterator[sql.Connection]:
        """Open a writing transaction: all or nothing. There is one writer at a time, so what was read stays true.

        Keep it short and wait for nothing else in it: all other writers wait for it.
        """
        with self.reading() as connection:
            self._backend.begin_writing(connection)
            yield connection
            connection.commit()
            self._backend.require_unmoved(connection)  # after it, so that the result is on the disk where it belongs

    def require_unmoved(self) -> None:
        """Check, without a query, that the database is still where it was opened. Raises `StorageMoved`."""
        self._backend.require_unmoved()

    def schema(self) -> Schema:
        """Return the schema of the database without changing it."""
        with self.reading() as connection:
            return schema_of(connection)

    def upgrade(self) -> None:
        """Upgrade to the newest schema. Checks first, because Alembic takes a tenth of a second."""
        with self.reading() as connection:
            if is_newest(connection):
                return
        with self.migrating() as connection:
            migrate(connection, place=self.place)

    def downgrade(self, revision: str) -> None:
        """Downgrade to an earlier schema, for an earlier winnow; data that only the later one can hold is lost.

        No other process may have the database open. Raises `InvalidRequest` unless the revision is an earlier one.
        """
        with self.migrating() as connection:
            migrate_down(connection, revision, place=self.place)

    def faults(self) -> list[str]:
        """Return what differs from what was written, one sentence each; reads everything. PostgreSQL checks itself."""
        with self.reading() as connection:
            return list(self._backend.faults(connection))

    def accept(self) -> None:
        """Accept all rows as they are: they count as what was written from now on."""
        with self.migrating():
            pass

    def count_on(self, connection: sql.Connection, column: sql.Column[Any]) -> None:
        """After inserting rows with numbers: make the next assigned number greater than theirs."""
        self._backend.count_on(connection, column)

    def now(self, connection: sql.Connection) -> datetime:
        """Return the time in UTC by the clock that all processes over this database share."""
        return self._backend.now(connection)

    @contextmanager
    def migrating(self) -> Iterator[sql.Connection]:
        """Like `writing`, for a transaction that changes tables; a second process finds the change done."""
        with self.reading() as connection:
            self._backend.begin_migrating(connection)
            yield connection
            self._backend.check_migrated(connection)
            connection.commit()

    def _connect(self) -> sql.Connection:
        """Return a connection that the server has just answered on.

        While the server is silent, fails at once, but for one call at a time, which asks it.
        """
        if (refusal := self._silence.refusal(seconds=ASKED_SECONDS_MAX)) is not None:
            raise CatalogUnavailable(refusal)
        began = time.monotonic()
        try:
            connection = self._engine.connect()
        except DBAPIError as error:
            self._silence.unanswered(self._backend.translated(error).detail, seconds=time.monotonic() - began)
            raise
        self._silence.answered()
        return connection

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._backend.translated(error) from error
        except UnicodeDecodeError as error:  # from the driver, whose error quotes the damaged schema
            raise StoreCorrupt(f"{self.place} contains a text that is not UTF-8") from error
        except PoolTimeoutError as error:
            raise CatalogUnavailable(
                f"{self.place}: all connections of this process are in use; repeat the request"
            ) from error
        except StatementError as error:
            if isinstance(error.orig, WinnowError):  # raised by `Words` for a value
                raise error.orig from None
            raise
