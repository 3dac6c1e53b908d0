"""The catalog in SQLite. The only module that names sqlalchemy."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sql
from sqlalchemy.exc import DatabaseError, IntegrityError

from retrieval.catalog import KEEP, Choice, Collection, Instruction
from retrieval.durable import make_folder
from retrieval.embedder import EmbedderIdentity
from retrieval.errors import (
    CollectionExists,
    CollectionNotFound,
    InstructionNotFound,
    StoreCorrupt,
    WriteFailed,
)

SCHEMA_VERSION: Final = 2
UPGRADES: Final[Mapping[int, Sequence[str]]] = {
    1: ("ALTER TABLE collections ADD COLUMN reranker VARCHAR",),
}  # version found -> what makes the next one of it; new tables are made wherever they are missing
_BUSY_MS: Final = 10_000  # milliseconds; how long one writer waits for another's transaction of some milliseconds
_WAL_PAUSE_SECONDS: Final = 0.01
_WORDS_OF_DAMAGE: Final = ("malformed", "not a database", "corrupt")  # how SQLite says it

_metadata = sql.MetaData()

_schema_version = sql.Table("schema_version", _metadata, sql.Column("version", sql.Integer, primary_key=True))

_tenants = sql.Table("tenants", _metadata, sql.Column("name", sql.String, primary_key=True))

_collections = sql.Table(
    "collections",
    _metadata,
    sql.Column("tenant", sql.ForeignKey("tenants.name"), primary_key=True),
    sql.Column("name", sql.String, primary_key=True),
    sql.Column("embedder_name", sql.String, nullable=False),
    sql.Column("embedder_revision", sql.String, nullable=False),
    sql.Column("embedder_dimension", sql.Integer, nullable=False),
    sql.Column("embedder_prompt_format", sql.String, nullable=False),
    sql.Column("chunk_tokens", sql.Integer, nullable=False),
    sql.Column("created_at", sql.String, nullable=False),  # UTC, ISO 8601
    sql.Column("instruction", sql.String),
    sql.Column("reranker", sql.String),
)

_instructions = sql.Table(
    "instructions",
    _metadata,
    sql.Column("tenant", sql.ForeignKey("tenants.name"), primary_key=True),
    sql.Column("name", sql.String, primary_key=True),
    sql.Column("version", sql.Integer, primary_key=True),
    sql.Column("text", sql.String, nullable=False),
    sql.Column("created_at", sql.String, nullable=False),  # UTC, ISO 8601
)


class SqlCatalog:
    """Implements `Catalog`. Safe to share between threads and processes; what a call has returned is on the disk."""

    def __init__(self, engine: sql.Engine, path: Path) -> None:
        self._engine = engine
        self._path = path

    @classmethod
    def open(cls, path: Path) -> SqlCatalog:
        """Opens the catalog. One that is missing is made, one of an earlier winnow upgraded; two processes may do so.

        Raises `StoreCorrupt`, also for a catalog of a later winnow, and `WriteFailed`.
        """
        make_folder(path.parent)
        engine = sql.create_engine(f"sqlite:///{path}")
        sql.event.listen(engine, "connect", _configure)
        catalog = cls(engine, path)
        with ExitStack() as on_failure:
            on_failure.callback(catalog.close)
            catalog._prepare()
            on_failure.pop_all()
        return catalog

    def _prepare(self) -> None:
        with self._writing() as connection:
            _metadata.create_all(connection)
            found = connection.scalar(sql.select(_schema_version.c.version))
            if found is None:
                connection.execute(sql.insert(_schema_version).values(version=SCHEMA_VERSION))
                return
            if _upgraded(connection, found) != SCHEMA_VERSION:
                raise StoreCorrupt(f"{self._path}: schema version {found}; this winnow reads {SCHEMA_VERSION}")

    def close(self) -> None:
        """Lets go of the connections. Without it they live as long as the process."""
        self._engine.dispose()

    def add_collection(self, collection: Collection) -> None:
        with self._writing() as connection:
            _add_tenant(connection, collection.tenant)
            try:
                connection.execute(sql.insert(_collections).values(_row_of(collection)))
            except IntegrityError as error:
                raise CollectionExists(collection.name) from error

    def collection(self, tenant: str, name: str) -> Collection:
        with self._reading() as connection:
            row = connection.execute(sql.select(_collections).where(_named(_collections, tenant, name))).first()
        if row is None:
            raise CollectionNotFound(name)
        return _collection(row)

    def collections(self, tenant: str) -> Sequence[Collection]:
        wanted = sql.select(_collections).where(_collections.c.tenant == tenant).order_by(_collections.c.name)
        with self._reading() as connection:
            return [_collection(row) for row in connection.execute(wanted)]

    def remove_collection(self, tenant: str, name: str) -> None:
        with self._writing() as connection:
            removed = connection.execute(sql.delete(_collections).where(_named(_collections, tenant, name)))
            if not removed.rowcount:
                raise CollectionNotFound(name)

    def change_collection(
        self, tenant: str, name: str, *, instruction: Choice = KEEP, reranker: Choice = KEEP
    ) -> Collection:
        choices = {"instruction": instruction, "reranker": reranker}
        changes = {column: choice for column, choice in choices.items() if choice is not KEEP}
        where = _named(_collections, tenant, name)
        with self._writing() as connection:
            if isinstance(instruction, str):
                _newest_instruction(connection, tenant, instruction)
            if changes:
                connection.execute(sql.update(_collections).where(where).values(changes))
            row = connection.execute(sql.select(_collections).where(where)).first()
            if row is None:
                raise CollectionNotFound(name)
            return _collection(row)

    def publish_instruction(self, tenant: str, name: str, text: str) -> Instruction:
        with self._writing() as connection:
            _add_tenant(connection, tenant)
            try:
                newest = _newest_instruction(connection, tenant, name)
            except InstructionNotFound:
                version = 1
            else:
                if newest.text == text:
                    return newest
                version = newest.version + 1
            published = Instruction(tenant=tenant, name=name, version=version, text=text, created_at=datetime.now(UTC))
            connection.execute(
                sql.insert(_instructions).values(
                    tenant=tenant,
                    name=name,
                    version=version,
                    text=text,
                    created_at=published.created_at.isoformat(),
                )
            )
            return published

    def instruction(self, tenant: str, name: str, version: int | None = None) -> Instruction:
        with self._reading() as connection:
            return _newest_instruction(connection, tenant, name, version=version)

    def instructions(self, tenant: str) -> Sequence[Instruction]:
        columns = _instructions.c
        wanted = sql.select(_instructions).where(columns.tenant == tenant).order_by(columns.name, columns.version)
        with self._reading() as connection:
            return [_instruction(row) for row in connection.execute(wanted)]

    @contextmanager
    def _reading(self) -> Iterator[sql.Connection]:
        with _translated(self._path), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sql.Connection]:
        """All of it, or nothing. The write lock comes first: of two that read first and write then, one would fail."""
        with self._reading() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.commit()


def _configure(connection: Any, _: object) -> None:
    """Every new connection: readers beside one writer, every commit synced, references enforced."""
    connection.isolation_level = None  # Python's driver would open transactions by its own rules; `_writing` does
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    _write_ahead(connection)
    for pragma in ("synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _write_ahead(connection: Any) -> None:
    """Waits here where another process makes the same file: for this one change SQLite does not wait by itself."""
    until = time.monotonic() + _BUSY_MS / 1_000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(_WAL_PAUSE_SECONDS)
        else:
            return


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        said = str(error.orig)
        if any(word in said for word in _WORDS_OF_DAMAGE):
            raise StoreCorrupt(f"{path}: {said}") from error
        raise WriteFailed(f"{path}: {said}") from error


def _upgraded(connection: sql.Connection, version: int) -> int:
    """One version after the other, inside the transaction that holds the write lock: all of it, or nothing.

    Whoever comes second finds the new version, and has nothing left to do.
    """
    while statements := UPGRADES.get(version):
        for statement in statements:
            connection.exec_driver_sql(statement)
        version += 1
        connection.execute(sql.update(_schema_version).values(version=version))
    return version


def _add_tenant(connection: sql.Connection, tenant: str) -> None:
    known = connection.scalar(sql.select(_tenants.c.name).where(_tenants.c.name == tenant))
    if known is None:
        connection.execute(sql.insert(_tenants).values(name=tenant))


def _named(table: sql.Table, tenant: str, name: str) -> sql.ColumnElement[bool]:
    return sql.and_(table.c.tenant == tenant, table.c.name == name)


def _newest_instruction(
    connection: sql.Connection, tenant: str, name: str, *, version: int | None = None
) -> Instruction:
    """This version, or the newest."""
    wanted = sql.select(_instructions).where(_named(_instructions, tenant, name))
    if version is not None:
        wanted = wanted.where(_instructions.c.version == version)
    row = connection.execute(wanted.order_by(_instructions.c.version.desc()).limit(1)).first()
    if row is None:
        raise InstructionNotFound(name if version is None else f"{name}, version {version}")
    return _instruction(row)


def _row_of(collection: Collection) -> dict[str, Any]:
    return {
        "tenant": collection.tenant,
        "name": collection.name,
        "embedder_name": collection.embedder.name,
        "embedder_revision": collection.embedder.revision,
        "embedder_dimension": collection.embedder.dimension,
        "embedder_prompt_format": collection.embedder.prompt_format,
        "chunk_tokens": collection.chunk_tokens,
        "created_at": collection.created_at.isoformat(),
        "instruction": collection.instruction,
        "reranker": collection.reranker,
    }


def _collection(row: sql.Row[Any]) -> Collection:
    return Collection(
        tenant=row.tenant,
        name=row.name,
        embedder=EmbedderIdentity(
            name=row.embedder_name,
            revision=row.embedder_revision,
            dimension=row.embedder_dimension,
            prompt_format=row.embedder_prompt_format,
        ),
        chunk_tokens=row.chunk_tokens,
        created_at=datetime.fromisoformat(row.created_at),
        instruction=row.instruction,
        reranker=row.reranker,
    )


def _instruction(row: sql.Row[Any]) -> Instruction:
    return Instruction(
        tenant=row.tenant,
        name=row.name,
        version=row.version,
        text=row.text,
        created_at=datetime.fromisoformat(row.created_at),
    )
