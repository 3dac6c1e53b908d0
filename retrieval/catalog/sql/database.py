"""The SQL database of a deployment: reading and writing in transactions, errors as our own.

Everything that is kept in SQL shares one: `SqlCatalog(database)`, and those of the other modules here.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from winnow.retrieval.catalog.sql.backend import Backend
from winnow.retrieval.catalog.sql.migrate import Schema, is_newest, migrate, migrate_down, schema_of
from winnow.retrieval.catalog.sql.postgres import Postgres
from winnow.retrieval.catalog.sql.sqlite import Sqlite
from winnow.retrieval.errors import CatalogUnavailable, StoreCorrupt, WinnowError


class SqlDatabase:
    """Safe to share between threads and processes; what a transaction has written is on the disk when it ends.

    Every transaction raises `CatalogUnavailable`, `StoreCorrupt` and `WriteFailed`, and `InvalidRequest` for a text
    that no database keeps; one that writes raises `StorageMoved` where the database is no longer where it was opened.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._engine = backend.engine()
        weakref.finalize(self, self._engine.dispose)  # a command that ends says goodbye to the server

    @classmethod
    def open(cls, place: Path | str) -> SqlDatabase:
        """A path is SQLite's file, a text PostgreSQL's URL. The schema is the newest when this returns.

        A database that is empty gets its tables, one of an earlier winnow is upgraded; several processes may do so at
        once. Raises `StoreCorrupt`, also for a schema of a later winnow, `SettingInvalid`, `CatalogUnavailable` and
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
        """As `open`, with whatever schema is there: for who wants to look at it, or to change it."""
        return cls(Sqlite(place) if isinstance(place, Path) else Postgres(place))

    @property
    def place(self) -> str:
        """Where it is, for people: never a password."""
        return self._backend.place

    def close(self) -> None:
        """Lets go of the connections, which otherwise happens when nobody holds this any more."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[sql.Connection]:
        """Each statement sees what was committed before it."""
        with self._translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sql.Connection]:
        """For reading only: every statement sees what was committed before the first of them."""
        with self.reading() as connection:
            self._backend.begin_snapshot(connection)
            yield connection

    def batches(
        self, connection: sql.Connection, wanted: sql.Select[Any], *, rows: int
    ) -> Iterator[Sequence[sql.Row[Any]]]:
        """What is asked for, so many rows at a time.

        Its errors are told as this database's, also amid a transaction of another one.
        """
        with self._translated(), connection.execute(wanted, execution_options={"yield_per": rows}) as found:
            yield from found.partitions()

    @contextmanager
    def writing(self) -> Iterator[sql.Connection]:
        """All of it, or nothing. There is one writer at a time: what was read in it is still so at its end.

        Keep it short, and wait for nothing else in it: all other writers wait for this one.
        """
        with self.reading() as connection:
            self._backend.begin_writing(connection)
            yield connection
            connection.commit()
            self._backend.require_unmoved(connection)  # after it, so that what returns is on the disk where it belongs

    def require_unmoved(self) -> None:
        """The database is still where it was opened, as far as that shows without asking it. Raises `StorageMoved`."""
        self._backend.require_unmoved()

    def schema(self) -> Schema:
        """What is there, and nothing is changed."""
        with self.reading() as connection:
            return schema_of(connection)

    def upgrade(self) -> None:
        """To the newest schema. Asks first, since to ask takes a moment and Alembic takes a tenth of a second."""
        with self.reading() as connection:
            if is_newest(connection):
                return
        with self.migrating() as connection:
            migrate(connection, place=self.place)

    def downgrade(self, revision: str) -> None:
        """To an earlier schema, for an earlier winnow; what only the later one can hold is lost.

        Nobody else may have the database open. Raises `InvalidRequest` for a revision that is not an earlier one.
        """
        with self.migrating() as connection:
            migrate_down(connection, revision, place=self.place)

    def faults(self) -> list[str]:
        """What is not as it was written, one sentence each; reads everything. PostgreSQL checks its own pages."""
        with self.reading() as connection:
            return list(self._backend.faults(connection))

    def accept(self) -> None:
        """Takes all rows as they are: from here on they are what was written."""
        with self.migrating():
            pass

    def count_on(self, connection: sql.Connection, column: sql.Column[Any]) -> None:
        """After rows that brought their numbers with them: the next one numbered here gets one above theirs."""
        self._backend.count_on(connection, column)

    @contextmanager
    def migrating(self) -> Iterator[sql.Connection]:
        """As `writing`, for a transaction that changes tables; whoever comes second finds it done."""
        with self.reading() as connection:
            self._backend.begin_migrating(connection)
            yield connection
            self._backend.check_migrated(connection)
            connection.commit()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._backend.translated(error) from error
        except UnicodeDecodeError as error:  # by the driver, which tells of damage in the words of the damaged schema
            raise StoreCorrupt(f"{self.place}: a text of it is not UTF-8") from error
        except PoolTimeoutError as error:
            raise CatalogUnavailable(f"{self.place}: all connections of this process are in use") from error
        except StatementError as error:
            if isinstance(error.orig, WinnowError):  # by `Words`, of a value
                raise error.orig from None
            raise
