"""Copies the whole catalog from one database to another, row by row.

All tables that `retrieval.catalog.sql.schema` knows are copied; there is no list here to forget one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import sqlalchemy as sql

from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.folder import DATA_FOLDER
from winnow.retrieval.catalog.sql.migrate import is_newest, migrate, require_newest
from winnow.retrieval.catalog.sql.row_checksums import ROW_SUMS
from winnow.retrieval.catalog.sql.schema import metadata
from winnow.retrieval.catalog.sql.tables import schema_version
from winnow.retrieval.catalog.sql.tenants import TENANTS
from winnow.retrieval.errors import CatalogExists, WriteFailed
from winnow.retrieval.tenancy import DEFAULT_TENANT

COPIED: Final = [table for table in metadata.sorted_tables if table is not ROW_SUMS]  # each database has its own
ROWS_AT_ONCE: Final = 1_000  # rows in memory; the largest take some kilobytes each

Batch: TypeAlias = Sequence[sql.Row[Any]]


class Watcher(Protocol):
    """Receives the progress."""

    def started(self, rows: int) -> None:
        """The copy starts; it has this many rows."""
        ...

    def advanced(self, rows: int) -> None:
        """This many more rows are written."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedTable:
    """The content of a table, equal in both databases."""

    name: str
    rows: int
    sha256: str  # of its rows in key order; equal contents have equal hashes in every database


def copy_catalog(source: SqlDatabase, target: SqlDatabase, *, watcher: Watcher) -> Sequence[CopiedTable]:
    """Copy every table of `source`, as of one moment, to `target`, which gets its tables in the same transaction.

    Written rows are read back and compared before the commit: `target` then has all of them, or what it had before.
    Raises `InvalidRequest` if the source's schema is not the newest, `CatalogExists` if the target holds anything,
    `WriteFailed` if it reads back something else, and what transactions raise.
    """
    with source.snapshot() as reading:
        require_newest(reading, place=source.place)
        watcher.started(sum(_count(reading, table) for table in COPIED))
        with target.migrating() as writing:
            _require_empty(writing, place=target.place)
            migrate(writing, place=target.place)
            for table in (TENANTS, schema_version, DATA_FOLDER):  # what a new catalog has
                writing.execute(sql.delete(table))
            copied = []
            for table in COPIED:
                rows = source.batches(reading, _in_key_order(table), rows=ROWS_AT_ONCE)
                given = _summarise(table, _write(writing, table, rows, watcher))
                kept = _summarise(table, target.batches(writing, _in_key_order(table), rows=ROWS_AT_ONCE))
                if kept != given:
                    raise WriteFailed(
                        f"{target.place}: the table {table.name} reads back differently than it was written"
                    )
                if table.autoincrement_column is not None:
                    target.count_on(writing, table.autoincrement_column)
                copied.append(kept)
            return copied


def _require_empty(connection: sql.Connection, *, place: str) -> None:
    """Raise `CatalogExists` if the target holds anything.

    The content of every new catalog does not count: the default tenant, the schema's number, and the folder that it
    was opened with.
    """
    if is_newest(connection):
        counts = {
            table.name: _count(connection, table, but=TENANTS.c.name == DEFAULT_TENANT if table is TENANTS else None)
            for table in COPIED
            if table not in {schema_version, DATA_FOLDER}
        }
        held = {name: count for name, count in counts.items() if count}
    else:
        names = sql.inspect(connection).get_table_names()
        held = {name: _count(connection, sql.table(name)) for name in sorted(names)}
    if held:
        name, count = next(iter(held.items()))
        rows = "1 row" if count == 1 else f"{count:,} rows"
        raise CatalogExists(f"{place} has a table {name} with {rows}; name an empty database")


def _count(connection: sql.Connection, table: sql.FromClause, *, but: sql.ColumnElement[bool] | None = None) -> int:
    wanted = sql.select(sql.func.count()).select_from(table)
    return connection.scalar(wanted if but is None else wanted.where(~but)) or 0


def _in_key_order(table: sql.Table) -> sql.Select[Any]:
    return sql.select(table).order_by(*table.primary_key)


def _write(connection: sql.Connection, table: sql.Table, batches: Iterable[Batch], watcher: Watcher) -> Iterator[Batch]:
    """Write the batches, and yield each one after it is written."""
    for batch in batches:
        connection.execute(sql.insert(table), [row._asdict() for row in batch])
        watcher.advanced(len(batch))
        yield batch


def _summarise(table: sql.Table, batches: Iterable[Batch]) -> CopiedTable:
    digest, rows = hashlib.sha256(), 0
    for batch in batches:
        rows += len(batch)
        for row in batch:
            digest.update(repr(tuple(row)).encode())
    return CopiedTable(name=table.name, rows=rows, sha256=digest.hexdigest())
