"""The catalog's database in one SQLite file, with a write-ahead log."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from winnow.retrieval.catalog.sql.row_checksums import faults, register, renew, unwatch, watch
from winnow.retrieval.catalog.sql.sqlite_files import file_faults, log_faults
from winnow.retrieval.errors import CatalogUnavailable, StorageMoved, StoreCorrupt, WinnowError, WriteFailed
from winnow.retrieval.files.durable import PRIVATE_FILE, keep_private, make_folder
from winnow.retrieval.files.opened_files import FileId, OpenedFiles, file_id

FAULTS_TOLD_MAX: Final = 5  # page faults that SQLite reports
BUSY_MS: Final = 10_000  # milliseconds that a writer waits for another's transaction, which takes a few
_WAL_PAUSE_SECONDS: Final = 0.01
_FILES: Final = "winnow_files"  # in `Connection.info`: the connection's open files
_WORDS_OF_DAMAGE: Final = ("malformed", "not a database", "corrupt", "decode to UTF-8")  # in SQLite's errors


class Sqlite:
    """Implements `Backend`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first: FileId | None = None  # the file that this process opened first
        self._watching: Any = None  # the driver's connection that `version` asks; it never writes
        self._is_closed = False
        self._version_turn = threading.Lock()

    @property
    def place(self) -> str:
        return str(self._path)

    def engine(self) -> sql.Engine:
        make_folder(self._path.parent)
        url = sql.URL.create("sqlite", database=str(self._path))
        engine = sql.create_engine(url, hide_parameters=True)
        sql.event.listen(engine, "do_connect", self._make_private)
        sql.event.listen(engine, "connect", _configure)
        sql.event.listen(engine, "connect", self._remember)
        return engine

    def _make_private(self, *_: object) -> None:
        """Create the file with private mode before SQLite does; the log inherits it. Both contain hashes of keys.

        An existing file is not opened: closing it would drop the locks of other connections on it.
        """
        with suppress(OSError):  # SQLite will meet the same error and report it
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE))
        for end in ("", "-wal", "-shm"):
            keep_private(self._path.with_name(f"{self._path.name}{end}"))

    def _remember(self, connection: Any, record: Any) -> None:
        """Remember this connection's files. Reading makes SQLite open the log, which stays open until the end."""
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        files = (self._path, *(self._path.with_name(f"{self._path.name}-{end}") for end in ("wal", "shm")))
        record.info[_FILES] = OpenedFiles.of(files)
        self._first = self._first or file_id(self._path)
        try:
            self.require_unmoved()
        except StorageMoved:  # connections of one process must not read two catalogs
            connection.close()
            raise

    def require_unmoved(self, connection: sql.Connection | None = None) -> None:
        if connection is not None:
            files: OpenedFiles = connection.info[_FILES]
            files.require_unmoved()
        if self._first is not None:
            OpenedFiles(((self._path, self._first),)).require_unmoved()

    def begin_snapshot(self, connection: sql.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    def begin_writing(self, connection: sql.Connection) -> None:
        """Take the write lock first: of two transactions that read and then write, one would fail."""
        watch(connection)
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        self.require_unmoved(connection)

    def begin_migrating(self, connection: sql.Connection) -> None:
        """Switch off references: a recreated table is dropped first, and referring rows would go with it."""
        connection.detach()  # closed afterwards, so that no later user gets these settings
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        unwatch(connection)
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def check_migrated(self, connection: sql.Connection) -> None:
        if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first():
            raise StoreCorrupt(f"{self._path}: a row of {broken[0]} refers to a missing row of {broken[2]}")
        renew(connection)

    def faults(self, connection: sql.Connection) -> Iterator[str]:
        """Check everything. The log is read under the write lock, since a commit in progress looks like a torn one."""
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        in_log = list(log_faults(self._path.with_name(f"{self._path.name}-wal")))
        connection.exec_driver_sql("ROLLBACK")
        yield from in_log
        self.begin_snapshot(connection)
        told = connection.exec_driver_sql(f"PRAGMA integrity_check({FAULTS_TOLD_MAX})").scalars().all()
        if wrong := [each for each in told if each != "ok"]:
            yield from wrong  # rows of a damaged tree cannot be checked
            return
        for table, _, other, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
            yield f"a row of {table} refers to a missing row of {other}"
        pages, page_bytes = (
            connection.exec_driver_sql(f"PRAGMA page_{each}").scalar_one() for each in ("count", "size")
        )
        yield from file_faults(self._path, size_max=pages * page_bytes)
        yield from faults(connection)

    def count_on(self, connection: sql.Connection, column: sql.Column[Any]) -> None:
        """Nothing to do: SQLite looks for the highest number itself."""

    def now(self, connection: sql.Connection) -> datetime:
        """The machine's: its processes are the only ones that can open the file."""
        del connection
        return datetime.now(UTC)

    def version(self, engine: sql.Engine) -> int | None:
        """By the counter that tells SQLite whether its own cached pages are current, five microseconds a call.

        Only commits of other connections change it, so this connection is apart from all others, and never replaced.
        """
        with self._version_turn:
            try:
                if self._watching is None and not self._is_closed:
                    self._watching = _detach(engine)
                if self._watching is None:
                    return None
                ((version,),) = self._watching.execute("PRAGMA data_version").fetchall()
            except (sqlite3.Error, DBAPIError, PoolTimeoutError, StorageMoved):
                return None  # whoever reads the catalog itself reports it
        return int(version)

    def close(self) -> None:
        with self._version_turn:
            self._is_closed = True
            if self._watching is not None:
                self._watching.close()
                self._watching = None

    def translated(self, error: DBAPIError) -> WinnowError:
        said = f"{self._path}: {error.orig}"
        if any(word in said for word in _WORDS_OF_DAMAGE):
            return StoreCorrupt(said)
        if "database is locked" in said:
            return CatalogUnavailable(f"{said} by another process for {BUSY_MS // 1_000} s; try again later")
        return WriteFailed(f"{said}{_refusal(self._path.parent, said)}")


def _refusal(folder: Path, said: str) -> str:
    """Return the system's reason if SQLite only says that it could not write or open its files."""
    if "readonly" not in said and "unable to open" not in said:
        return ""
    try:
        is_read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
    except OSError as error:
        return f" ({error.strerror})"
    if is_read_only:
        return f" ({os.strerror(errno.EROFS)})"
    return "" if os.access(folder, os.W_OK | os.X_OK) else f" ({os.strerror(errno.EACCES)})"


def _detach(engine: sql.Engine) -> Any:
    """Return a connection of the driver that the pool does not know, and that waits for no lock."""
    connection = engine.raw_connection()
    connection.detach()
    connection.execute("PRAGMA busy_timeout = 0")
    return connection.dbapi_connection


def _configure(connection: Any, _: object) -> None:
    """Configure a new connection: concurrent readers, synced commits, enforced references, row checksums."""
    register(connection)
    connection.isolation_level = None  # otherwise Python's driver would begin transactions; `Sqlite` does
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    _write_ahead(connection)
    for pragma in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):  # deleted texts leave no bytes
        connection.execute(f"PRAGMA {pragma}")


def _write_ahead(connection: Any) -> None:
    """Switch to the write-ahead log, waiting for other processes: SQLite does not wait for this change itself."""
    until = time.monotonic() + BUSY_MS / 1_000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(_WAL_PAUSE_SECONDS)
        else:
            return
