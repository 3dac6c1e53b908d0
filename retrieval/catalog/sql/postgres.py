"""The catalog's database on a PostgreSQL server, through psycopg."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NoReturn

import sqlalchemy as sql
from sqlalchemy.exc import ArgumentError, DBAPIError

from winnow.retrieval.errors import CatalogUnavailable, SettingInvalid, StoreCorrupt, WinnowError, WriteFailed

CONNECT_SECONDS: Final = 5  # seconds; a running server answers in milliseconds
SILENCE_MS: Final = 15_000  # milliseconds without a reply, after which the connection is closed; above LOCK_MS
LONG_SILENCE_MS: Final = 600_000  # the same where a statement reads or changes whole tables
LOCK_MS: Final = 10_000  # milliseconds that a statement waits for another's transaction; as for SQLite
STATEMENT_MS: Final = 14_000  # milliseconds that a statement may take; above LOCK_MS, and the server says so in time
IDLE_MS: Final = 8_000  # milliseconds without a statement, after which the server ends a transaction; below LOCK_MS
POOL_SECONDS: Final = 10  # seconds to wait for one of the process's own connections
WRITER_LOCK: Final = 0x77696E6E6F77  # "winnow" in ASCII; an advisory lock is identified by a number
PATIENCE: Final = "winnow patience"  # key of `_Patience` in what SQLAlchemy keeps with a connection
_DRIVER: Final = "postgresql+psycopg"
_SCHEMES: Final = ("postgresql", "postgres", _DRIVER)
_SECRETS: Final = ("password", "sslpassword")
# SQLSTATE: connection, an ended transaction, login, contention, shutdown.
_UNAVAILABLE: Final = ("08", "25P03", "28", "3D", "40", "53", "55P03", "57")
_FULL: Final = "53100"  # the server's disk
_DAMAGED: Final = ("XX", "42P01", "42703")  # SQLSTATE: internal and damaged pages; a table or a column is missing


class Postgres:
    """Implements `Backend`. No error and no log line contains the password."""

    def __init__(self, url: str) -> None:
        """Raises `SettingInvalid` unless this is a URL of PostgreSQL."""
        try:
            parsed = sql.make_url(url)
        except (ArgumentError, ValueError):
            raise SettingInvalid(
                "the catalog's URL is not valid; write postgresql://USER@HOST/DATABASE"
            ) from None  # its text may hold a password
        if parsed.drivername not in _SCHEMES:
            raise SettingInvalid("the catalog's URL must be of the form postgresql://USER@HOST/DATABASE")
        self._url = parsed.set(drivername=_DRIVER)
        given = [self._url.password, *(self._url.query.get(name) for name in _SECRETS)]
        self._secrets = [each for each in given if isinstance(each, str) and each]

    @property
    def place(self) -> str:
        hosts = {name: value for name, value in self._url.query.items() if name in {"host", "port"}}
        shown = self._url.set(drivername="postgresql", query=hosts)._replace(password=None)
        return shown.render_as_string(hide_password=True)

    def engine(self) -> sql.Engine:
        defaults = {"connect_timeout": CONNECT_SECONDS, "tcp_user_timeout": SILENCE_MS}
        arguments: dict[str, Any] = {
            name: value for name, value in defaults.items() if name not in self._url.query
        }  # the URL's own parameters win
        try:
            engine = sql.create_engine(
                self._url,
                connect_args=arguments,
                hide_parameters=True,
                isolation_level="READ COMMITTED",
                pool_pre_ping=True,
                pool_timeout=POOL_SECONDS,
            )
        except ImportError as error:
            raise SettingInvalid(
                "a catalog on PostgreSQL needs psycopg: pip install 'winnow-search[postgres]'"
            ) from error
        _bound_silence(engine)
        _bound_transactions(engine)
        return engine

    def begin_snapshot(self, connection: sql.Connection) -> None:
        _be_patient(connection)
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    def begin_writing(self, connection: sql.Connection) -> None:
        """One writer at a time, as with SQLite: what a writer has read is still true when it writes.

        Each statement sees what was committed before it, so reads after the lock see the newest state. A serializable
        transaction would see the state from before it waited.
        """
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")

    def require_unmoved(self, connection: sql.Connection | None = None) -> None:
        """Nothing to do: the server holds the database open, and its files cannot be replaced meanwhile."""

    def begin_migrating(self, connection: sql.Connection) -> None:
        _be_patient(connection)
        self.begin_writing(connection)

    def check_migrated(self, connection: sql.Connection) -> None:
        """Nothing to do: the server always checks references."""

    def faults(self, connection: sql.Connection) -> Iterator[str]:
        """Return nothing: the server checks its pages, if it is configured to."""
        del connection
        return iter(())

    def count_on(self, connection: sql.Connection, column: sql.Column[Any]) -> None:
        sequence = sql.func.pg_get_serial_sequence(column.table.name, column.name)
        highest = sql.func.max(column)
        is_any = highest.is_not(None)  # without rows, the next number is the first
        connection.execute(sql.select(sql.func.setval(sequence, sql.func.coalesce(highest, 1), is_any)))

    def now(self, connection: sql.Connection) -> datetime:
        """The server's. `now()` would be the time at which the transaction began to wait for its turn."""
        now: datetime = connection.execute(sql.select(sql.func.clock_timestamp())).scalar_one()
        return now.astimezone(UTC)

    def version(self, engine: sql.Engine) -> int | None:
        """None: the server would have to be asked."""
        del engine
        return None

    def close(self) -> None:
        """Nothing to do: `version` opens no connection."""

    def translated(self, error: DBAPIError) -> WinnowError:
        state = getattr(error.orig, "sqlstate", None)
        diagnosis = getattr(error.orig, "diag", None)  # only the primary message: the details contain values of rows
        words = (diagnosis and diagnosis.message_primary) or str(error.orig).strip()
        said = f"{self.place}: {self._without_secrets(words)}"
        if state is None or (state.startswith(_UNAVAILABLE) and state != _FULL):
            return CatalogUnavailable(said)
        if state.startswith(_DAMAGED):
            return StoreCorrupt(said)
        return WriteFailed(said)

    def _without_secrets(self, said: str) -> str:
        for secret in self._secrets:
            said = said.replace(secret, "***")
        return said


@dataclass(slots=True)
class _Patience:
    """How long a connection waits for its server to say anything."""

    milliseconds: int = SILENCE_MS


def _bound_silence(engine: sql.Engine) -> None:
    """Let a wait for the server end. TCP notices a machine that is gone, but not a server that is stopped or hangs."""

    @sql.event.listens_for(engine, "connect")
    def bound(driver_connection: Any, record: Any) -> None:
        patience = record.info[PATIENCE] = _Patience()
        wait = driver_connection.wait  # psycopg's loop, which advances the steps of an operation

        def give_up() -> NoReturn:
            driver_connection.close()
            dbapi: Any = engine.dialect.dbapi
            raise dbapi.OperationalError(f"no reply within {patience.milliseconds / 1000:g} seconds")

        driver_connection.wait = lambda steps, *rest, **named: wait(_ending(steps, patience, give_up), *rest, **named)

    @sql.event.listens_for(engine, "checkin")
    def reset(_driver_connection: Any, record: Any) -> None:
        patience = record.info.get(PATIENCE)
        if patience is not None:  # a connection that could not be made again has none
            patience.milliseconds = SILENCE_MS


def _bound_transactions(engine: sql.Engine) -> None:
    """Let the server bound each step of a transaction: a statement, its wait for a lock, and the time between two.

    A process may be stopped in a transaction, with locks that others wait for. It may also be killed, or give up: the
    server does not notice that before a statement has ended.
    """

    @sql.event.listens_for(engine, "connect")
    def bound(driver_connection: Any, _record: Any) -> None:
        driver_connection.execute(
            f"SET idle_in_transaction_session_timeout = {IDLE_MS};"
            f"SET lock_timeout = {LOCK_MS};"
            f"SET statement_timeout = {STATEMENT_MS}"
        )
        driver_connection.commit()


def _be_patient(connection: sql.Connection) -> None:
    """Bound this transaction as one that reads or changes whole tables."""
    connection.info[PATIENCE].milliseconds = LONG_SILENCE_MS
    connection.exec_driver_sql(
        f"SET LOCAL idle_in_transaction_session_timeout = {LONG_SILENCE_MS};"
        f"SET LOCAL statement_timeout = {LONG_SILENCE_MS}"
    )


def _ending(
    steps: Generator[Any, Any, Any], patience: _Patience, give_up: Callable[[], NoReturn]
) -> Generator[Any, Any, Any]:
    """Pass the steps through. psycopg sends 0 about ten times a second while the server is silent."""
    heard_at = time.monotonic()
    advance: Callable[[], Any] = partial(next, steps)
    while True:
        try:
            wanted = advance()
        except StopIteration as done:
            return done.value
        ready = yield wanted
        if ready:
            heard_at = time.monotonic()
        elif time.monotonic() - heard_at > patience.milliseconds / 1000:
            give_up()
        advance = partial(steps.send, ready)
