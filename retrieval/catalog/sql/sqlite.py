"""The catalog's database in one file: SQLite, write-ahead logged."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sql
from sqlalchemy.exc import DBAPIError

from winnow.retrieval.catalog.sql.row_checksums import faults, register, renew, unwatch, watch
from winnow.retrieval.catalog.sql.sqlite_files import file_faults, log_faults
from winnow.retrieval.errors import CatalogUnavailable, StorageMoved, StoreCorrupt, WinnowError, WriteFailed
from winnow.retrieval.files.durable import PRIVATE_FILE, keep_private, make_folder
from winnow.retrieval.files.opened_files import FileId, OpenedFiles, file_id

FAULTS_TOLD_MAX: Final = 5  # faults of its pages that SQLite tells
BUSY_MS: Final = 10_000  # milliseconds; how long one writer waits for another's transaction of some milliseconds
_WAL_PAUSE_SECONDS: Final = 0.01
_FILES: Final = "winnow_files"  # in `Connection.info`: the files that the connection has open
_WORDS_OF_DAMAGE: Final = ("malformed", "not a database", "corrupt", "decode to UTF-8")  # how SQLite says it


class Sqlite:
    """Implements `Backend`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first: FileId | None = None  # the file as this process found it

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
        """Before SQLite makes the file; the log gets its mode. Keys lie in both, if only their hashes.

        A file that is there is not opened: closing it again would drop the locks that other connections have on it.
        """
        with suppress(OSError):  # SQLite will meet it again, and say so
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE))
        for end in ("", "-wal", "-shm"):
            keep_private(self._path.with_name(f"{self._path.name}{end}"))

    def _remember(self, connection: Any, record: Any) -> None:
        """What this connection has open. Reading makes SQLite open the log, which stays until the last one closes."""
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        files = (self._path, *(self._path.with_name(f"{self._path.name}-{end}") for end in ("wal", "shm")))
        record.info[_FILES] = OpenedFiles.of(files)
        self._first = self._first or file_id(self._path)
        try:
            self.require_unmoved()
        except StorageMoved:  # two connections of one process may not read two catalogs
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
        """The write lock comes first: of two that read first and write then, one would fail."""
        watch(connection)
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        self.require_unmoved(connection)

    def begin_migrating(self, connection: sql.Connection) -> None:
        """A table that is made anew is dropped first; references to it would go with it. Not in a transaction."""
        connection.detach()  # it is closed afterwards, not given to the next who would trust its settings
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        unwatch(connection)
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def check_migrated(self, connection: sql.Connection) -> None:
        if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first():
            raise StoreCorrupt(f"{self._path}: a row of {broken[0]} names a row of {broken[2]} that is not there")
        renew(connection)

    def faults(self, connection: sql.Connection) -> Iterator[str]:
        """The write-ahead log is read under the write lock, since a commit in progress looks like a torn one."""
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        in_log = list(log_faults(self._path.with_name(f"{self._path.name}-wal")))
        connection.exec_driver_sql("ROLLBACK")
        yield from in_log
        self.begin_snapshot(connection)
        told = connection.exec_driver_sql(f"PRAGMA integrity_check({FAULTS_TOLD_MAX})").scalars().all()
        if wrong := [each for each in told if each != "ok"]:
            yield from wrong  # what a damaged tree says of its rows is of no use
            return
        for table, _, other, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
            yield f"a row of {table} names a row of {other} that is not there"
        pages, page_bytes = (
            connection.exec_driver_sql(f"PRAGMA page_{each}").scalar_one() for each in ("count", "size")
        )
        yield from file_faults(self._path, size_max=pages * page_bytes)
        yield from faults(connection)

    def count_on(self, connection: sql.Connection, column: sql.Column[Any]) -> None:
        """It looks for the highest number by itself."""

    def translated(self, error: DBAPIError) -> WinnowError:
        said = f"{self._path}: {error.orig}"
        if any(word in said for word in _WORDS_OF_DAMAGE):
            return StoreCorrupt(said)
        if "database is locked" in said:
            return CatalogUnavailable(f"{said} by another process for {BUSY_MS // 1_000} s")
        return WriteFailed(f"{said}{_refusal(self._path.parent, said)}")


def _refusal(folder: Path, said: str) -> str:
    """What the system says of a folder where SQLite says only that it could not write or open its files."""
    if "readonly" not in said and "unable to open" not in said:
        return ""
    try:
        is_read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
    except OSError as error:
        return f" ({error.strerror})"
    if is_read_only:
        return f" ({os.strerror(errno.EROFS)})"
    return "" if os.access(folder, os.W_OK | os.X_OK) else f" ({os.strerror(errno.EACCES)})"


def _configure(connection: Any, _: object) -> None:
    """Every new connection: readers beside one writer, every commit synced, references enforced, rows summed."""
    register(connection)
    connection.isolation_level = None  # Python's driver would open transactions by its own rules; `Sqlite` does
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    _write_ahead(connection)
    for pragma in ("synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _write_ahead(connection: Any) -> None:
    """Waits here where another process makes the same file: for this one change SQLite does not wait by itself."""
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
