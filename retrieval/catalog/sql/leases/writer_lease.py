"""The writer's lease of a collection as a row on PostgreSQL, for hosts that share a data folder.

    take     if the row is released or expired: token + 1
    renew    before each commit, if the token is still ours; it also reserves chunk numbers
    end      released, or expired at once if the holder failed
    newest   a writer announces the version that it begins with and each that it commits, before that is acknowledged;
             what was announced counts as long as every later holder announces as well, which earlier winnows do not
    move     of the pointer, by any process: pointer_token + 1; before the file moves, its token must be the newest

Only the database's clock counts. Expiry decides who should write, and never what is safe: a holder whose row expired
goes on as long as no other has taken it, and one that was superseded finds another token. `needs_fence` is set where a
lease was taken from a holder that had not released it, and stays until a holder has fenced the store.

A host that has to wait holds the row NAME/next, for `NEXT_SECONDS` since it last said so, and the others let it go
first. Otherwise a host with many writers, which asks again at once, would always be faster than one that asks now and
then.

The file lock is held as well. It lets the processes of one host wait for each other without queries, excludes earlier
versions of winnow, and shows that an unreleased row of the same host belongs to a process that has ended.

The right to build generations is a second row of the same table. A holder that lost it during a pause publishes
nothing: it renews the row before it moves the pointer.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sql

from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.errors import CallerError, CatalogUnavailable, CollectionBusy, WinnowError, WriterSuperseded
from winnow.retrieval.files import locks
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.lease import ONE_HOST, WriterLease

BUSY_SECONDS_MAX: Final = 5.0  # maximum wait of a short write for another process; an index run takes longer
LEASE_SECONDS: Final = 9.0  # after which another host may take over from a silent holder
RENEWAL_SECONDS: Final = 3.0  # between renewals of a holder that commits nothing
RETRY_SECONDS: Final = 0.05  # between two attempts to take it
NEXT_SECONDS: Final = 1.0  # for which the first of those that wait is known as such
FOLD: Final = "/fold"  # after a collection's name, which has no slash: the row of those that build its generations
NEXT: Final = "/next"  # after the name of a lease: the row of the one that waits for it first
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

_log = logging.getLogger(__name__)

_NOW: Final = "(extract(epoch from clock_timestamp()) * 1000)::bigint"
_TAKE: Final = sql.text(f"""
    INSERT INTO writer_leases AS lease (tenant, collection, token, holder, expires_ms, needs_fence, next_number)
    VALUES (:tenant, :collection, 1, :holder, {_NOW} + :lasts_ms, 0, 0)
    ON CONFLICT (tenant, collection) DO UPDATE SET
        token = lease.token + 1,
        newest_token = CASE WHEN lease.newest_token = lease.token THEN lease.token + 1 ELSE lease.newest_token END,
        holder = :holder,
        expires_ms = {_NOW} + :lasts_ms,
        needs_fence = CASE WHEN lease.expires_ms = 0 THEN lease.needs_fence ELSE 1 END
    WHERE CASE WHEN lease.expires_ms < {_NOW} THEN NOT EXISTS (
        SELECT 1 FROM writer_leases AS following
        WHERE following.tenant = :tenant AND following.collection = :following
            AND following.expires_ms > {_NOW} AND following.holder <> :holder
    ) ELSE split_part(lease.holder, '/', 1) = :host END
    RETURNING token
""")  # noqa: S608  no value is part of the text
_FOLLOW: Final = sql.text(f"""
    INSERT INTO writer_leases AS lease (tenant, collection, token, holder, expires_ms, needs_fence, next_number)
    VALUES (:tenant, :following, 0, :holder, {_NOW} + :next_ms, 0, 0)
    ON CONFLICT (tenant, collection) DO UPDATE SET holder = :holder, expires_ms = {_NOW} + :next_ms
    WHERE lease.holder = :holder OR lease.expires_ms < {_NOW}
""")  # noqa: S608  likewise
_FOLLOWED: Final = sql.text("""
    UPDATE writer_leases SET expires_ms = 0 WHERE tenant = :tenant AND collection = :following AND holder = :holder
""")
_RENEW: Final = sql.text(f"""
    UPDATE writer_leases SET
        expires_ms = {_NOW} + :lasts_ms,
        needs_fence = CASE WHEN :is_fenced THEN 0 ELSE needs_fence END,
        next_number = CASE WHEN :count > 0 THEN greatest(next_number, :least) + :count ELSE next_number END,
        store_version = greatest(store_version, :version),
        newest_version = CASE WHEN :newest > 0 THEN :newest ELSE newest_version END,
        newest_token = CASE WHEN :newest > 0 THEN token ELSE newest_token END
    WHERE tenant = :tenant AND collection = :collection AND token = :token AND expires_ms <> 0
    RETURNING needs_fence, next_number, store_version
""")  # noqa: S608  likewise
_HELD: Final = sql.text("""
    SELECT 1 FROM writer_leases
    WHERE tenant = :tenant AND collection = :collection AND token = :token AND expires_ms <> 0 FOR UPDATE
""")
_END: Final = sql.text("""
    UPDATE writer_leases SET expires_ms = :expires_ms
    WHERE tenant = :tenant AND collection = :collection AND token = :token
""")
_ANNOUNCED: Final = sql.text("""
    SELECT newest_version FROM writer_leases
    WHERE tenant = :tenant AND collection = :collection AND newest_token = token AND newest_version > 0
""")
_BEGIN_MOVE: Final = sql.text("""
    INSERT INTO writer_leases AS lease
        (tenant, collection, token, holder, expires_ms, needs_fence, next_number, pointer_token)
    VALUES (:tenant, :collection, 0, '', 0, 0, 0, 1)
    ON CONFLICT (tenant, collection) DO UPDATE SET pointer_token = lease.pointer_token + 1
    RETURNING pointer_token
""")
_NEWEST_MOVE: Final = sql.text(
    "SELECT pointer_token FROM writer_leases WHERE tenant = :tenant AND collection = :collection"
)
_RELEASED, _EXPIRED = 0, 1  # milliseconds since 1970


class WriterLeases:
    """The leases of a catalog's collections, as one process sees them."""

    def __init__(self, database: SqlDatabase, *, host: str | None = None) -> None:
        """`host` as for `SqlWriterLease`; only hosts with folders of their own are named."""
        self._database = database
        self._host = host
        self._known: dict[tuple[str, str], WriterLease] = {}

    @property
    def busy_seconds(self) -> float:
        """Maximum wait of a short write for another process, also for one of another host that has died."""
        return BUSY_SECONDS_MAX + (LEASE_SECONDS if self._database.is_on_server else 0.0)

    @property
    def sharing(self) -> str:
        """A name of the processes that see each other's file locks, for their files; empty if all processes do."""
        if not self._database.is_on_server:
            return ""
        return hashlib.sha256((self._host or _host()).encode()).hexdigest()[:8]

    def of(self, tenant: str, collection: str) -> WriterLease:
        """Return the same lease for the same collection: its holder and its store share it."""
        if not self._database.is_on_server:
            return ONE_HOST
        lease = SqlWriterLease(
            self._database, tenant, collection, host=self._host, has_own_folder=self._host is not None
        )
        return self._known.setdefault((tenant, collection), lease)


class SqlWriterLease:
    """The lease of one collection. Implements `WriterLease`. Raises what transactions raise."""

    expires: Final = True

    def __init__(
        self,
        database: SqlDatabase,
        tenant: str,
        collection: str,
        *,
        host: str | None = None,
        has_own_folder: bool = False,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        """`host` identifies this one among those that share the catalog; by default, by the current boot.

        `has_own_folder`: no other host moves the pointer in this host's folder, so the file lock is enough for that.
        """
        self._database = database
        self._name = {"tenant": tenant, "collection": collection}
        self._host = host or _host()
        self._has_own_folder = has_own_folder
        self._lasts = {"lasts_ms": round(1000 * lease_seconds)}
        self._token: int | None = None  # None: not held
        self._fold: SqlWriterLease | None = None  # None: this process builds no generation

    @contextmanager
    def writing(self, folder: CollectionFolder, *, wait_seconds: float = 0.0) -> Iterator[None]:
        with self._holding(locks.writing(folder, wait_seconds=wait_seconds), until=time.monotonic() + wait_seconds):
            yield

    @contextmanager
    def folding(self, folder: CollectionFolder, *, wait_seconds: float = 0.0) -> Iterator[None]:
        fold = SqlWriterLease(
            self._database,
            self._name["tenant"],
            self._name["collection"] + FOLD,
            host=self._host,
            lease_seconds=self._lasts["lasts_ms"] / 1000,
        )
        locked = locks.folding(folder, wait_seconds=wait_seconds)
        with fold._holding(locked, until=time.monotonic() + wait_seconds):
            self._fold = fold
            try:
                yield
            finally:
                self._fold = None

    def still_folding(self) -> None:
        assert self._fold is not None, "only a holder publishes. This is a bug."
        try:
            self._fold.renew()
        except WriterSuperseded as superseded:
            raise CollectionBusy(f"another host now builds the index of {self._name['collection']}") from superseded

    @contextmanager
    def _holding(self, locked: AbstractContextManager[None], *, until: float) -> Iterator[None]:
        with locked:
            self._take(until)
            expires_ms = _EXPIRED
            try:
                with self._renewing():
                    yield
                expires_ms = _RELEASED
            except CallerError:  # raised between commits: none is under way
                expires_ms = _RELEASED
                raise
            finally:
                self._end(expires_ms)

    def renew(self, *, newest: int = 0) -> bool:
        return bool(self._renew(newest=newest).needs_fence)

    def token(self) -> int | None:
        assert self._token is not None, "only a holder changes its collection's row. This is a bug."
        return self._token

    def announced(self) -> int | None:
        with self._database.reading() as connection:
            version = connection.execute(_ANNOUNCED, self._name).scalar()
        return None if version is None else int(version)

    def fenced(self) -> None:
        self._renew(is_fenced=True)

    def take_numbers(self, count: int, *, least: int) -> int:
        return int(self._renew(count=count, least=least).next_number) - count

    def pass_version(self, version: int) -> int:
        return int(self._renew(version=version).store_version)

    def begin_move(self) -> int:
        if self._has_own_folder:
            return 0
        with self._database.reading() as connection:
            token = connection.execute(_BEGIN_MOVE, self._name).scalar_one()
            connection.commit()
        return int(token)

    def require_move(self, token: int) -> None:
        if self._has_own_folder:
            return
        with self._database.reading() as connection:
            newest = connection.execute(_NEWEST_MOVE, self._name).scalar()
        if newest != token:
            raise CollectionBusy(f"another host has changed which index of {self._name['collection']} is current")

    def _take(self, until: float) -> None:
        values = (
            self._name
            | self._lasts
            | {
                "host": self._host,
                "holder": f"{self._host}/{os.getpid()}",
                "following": f"{self._name['collection']}{NEXT}",
                "next_ms": round(1000 * NEXT_SECONDS),
            }
        )
        follows_at: float | None = None  # when to say again that this host waits
        try:
            while True:
                with self._database.reading() as connection:
                    token = connection.execute(_TAKE, values).scalar()
                    connection.commit()
                if token is not None:
                    self._token = int(token)
                    return
                now = time.monotonic()
                if now >= until:
                    raise CollectionBusy(f"{self._name['collection']} is in use by another host")
                if follows_at is None or now >= follows_at:
                    self._execute(_FOLLOW, values)
                    follows_at = now + NEXT_SECONDS / 3
                time.sleep(RETRY_SECONDS)
        finally:
            if follows_at is not None:
                self._execute(_FOLLOWED, values)

    def _execute(self, statement: sql.TextClause, values: Mapping[str, Any]) -> None:
        """Execute what may be lost: the row expires."""
        try:
            with self._database.reading() as connection:
                _without_flush(connection)
                connection.execute(statement, values)
                connection.commit()
        except CatalogUnavailable as error:
            _log.warning("a lease of %s: %s", self._name["collection"], error.message)

    def _renew(
        self, *, count: int = 0, least: int = 0, version: int = 0, newest: int = 0, is_fenced: bool = False
    ) -> sql.Row[Any]:
        assert self._token is not None, "only a holder commits. This is a bug."
        values = {"token": self._token, "count": count, "least": least, "version": version, "newest": newest}
        with self._database.reading() as connection:
            if not version and not newest:  # which other hosts rely on after a crash of the server as well
                _without_flush(connection)
            row = connection.execute(_RENEW, self._name | self._lasts | values | {"is_fenced": is_fenced}).first()
            connection.commit()
        if row is None:
            raise WriterSuperseded(f"{self._name['collection']} is now written to by another host")
        return row

    def _end(self, expires_ms: int) -> None:
        """Let others take the lease now. What was written stands even if this fails: the row then expires."""
        token, self._token = self._token, None
        try:
            with self._database.reading() as connection:
                _without_flush(connection)
                connection.execute(_END, self._name | {"token": token, "expires_ms": expires_ms})
                connection.commit()
        except WinnowError as error:
            _log.warning("the lease of %s could not be released: %s", self._name["collection"], error.message)

    @contextmanager
    def _renewing(self) -> Iterator[None]:
        """Renew the lease in a thread while the block runs, which may embed for minutes between two commits."""
        ended = threading.Event()
        thread = threading.Thread(target=self._renew_until, args=(ended,), name="writer lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _renew_until(self, ended: threading.Event) -> None:
        while not ended.wait(min(RENEWAL_SECONDS, self._lasts["lasts_ms"] / 3000)):
            try:
                self._renew()
            except CatalogUnavailable as error:  # the next commit reports it, if it lasts
                _log.warning("the lease of %s could not be renewed: %s", self._name["collection"], error.message)
            except WriterSuperseded:
                return  # which the next commit reports


def require_held(connection: sql.Connection, tenant: str, collection: str, *, token: int | None) -> None:
    """Check that the lease is held under this token; no other host takes it before the transaction ends.

    Nothing is compared for None: the file lock excludes other writers. Raises `WriterSuperseded`.
    """
    values = {"tenant": tenant, "collection": collection, "token": token}
    if token is not None and connection.execute(_HELD, values).first() is None:
        raise WriterSuperseded(f"{collection} is now written to by another host")


def _without_flush(connection: sql.Connection) -> None:
    """Do not wait for the server's disk: a renewal that a crash takes back only makes the lease end earlier.

    The reserved chunk numbers are also in the collection's file, which is synced.
    """
    connection.exec_driver_sql("SET LOCAL synchronous_commit = off")


def host_with(folder: Path) -> str:
    """Return what differs between those that do not share the file locks in this folder, as containers of one host."""
    found = folder.stat()
    return f"{_host()}.{found.st_dev}.{found.st_ino}"


def _host() -> str:
    """Return what differs between two hosts, and between two boots of one, after which no lock is left."""
    try:
        return BOOT_ID.read_text("ascii").strip()
    except OSError:
        return platform.node().replace("/", "-")
