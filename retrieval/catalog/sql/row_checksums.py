"""Checksums of the catalog's rows for SQLite, which has none of its own.

A flipped bit inside a value passes SQLite's integrity check. So each row has a checksum in the table `row_sums`,
written in the row's transaction by temporary triggers of each writing connection. They are not part of the schema: a
migration may recreate a table without knowing of them, and recalculates all checksums at its end.

Rule 1: an update keeps the mismatch of a row that was damaged before. Rule 2: the schema's own text has checksums like
rows. Rule 3: on PostgreSQL the table stays empty; its pages can have checksums (initdb --data-checksums).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sql

from winnow.retrieval.catalog.sql.tables import Words, metadata

ROW_SUMS: Final = sql.Table(
    "row_sums",
    metadata,
    sql.Column("of_table", Words, primary_key=True),
    sql.Column("of_row", Words, primary_key=True),  # its primary key, each value quoted, in hex
    sql.Column("checksum", Words, nullable=False),
)

_FUNCTION: Final = "winnow_row_sum"
_SCHEMA: Final = "sqlite_master"
_SCHEMA_COLUMNS: Final = ("type", "name", "tbl_name", "sql")  # not rootpage, which VACUUM changes
_WATCHED: Final = "winnow_row_sums"  # in `Connection.info`: the schema version of its triggers
_DIGEST_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Summed:
    """A table as it is in the database, regardless of this winnow's definitions."""

    name: str
    columns: Sequence[str]
    key: Sequence[str]

    def content(self, row: str) -> str:
        """Return an SQL expression: every value with its type, in ASCII, even if a text is no longer UTF-8."""
        return f"{_FUNCTION}({_join(self.columns, row)})"

    def key_of(self, row: str) -> str:
        return _join(self.key, row)


def register(connection: Any) -> None:
    """Register the checksum function with a new connection of the driver."""
    connection.create_function(_FUNCTION, 1, _row_sum, deterministic=True)


def watch(connection: sql.Connection) -> None:
    """Make the connection maintain the checksums. Must be called outside a transaction."""
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar()
    if connection.info.get(_WATCHED) == version:
        return
    unwatch(connection)
    for table in (
        _checked_tables(connection) if _has_sums(connection) else ()
    ):  # a downgrade by another process drops the table
        for statement in _triggers(table):
            connection.exec_driver_sql(statement)
    connection.info[_WATCHED] = version


def unwatch(connection: sql.Connection) -> None:
    """Remove the triggers, before tables are altered: SQLite would parse them as well."""
    found = connection.exec_driver_sql("SELECT name FROM sqlite_temp_master WHERE type = 'trigger'")
    for name in found.scalars().all():
        connection.exec_driver_sql(f'DROP TRIGGER temp."{name}"')
    connection.info.pop(_WATCHED, None)


def renew(connection: sql.Connection) -> None:
    """Accept all rows and the schema as they are; does nothing in a schema without checksums."""
    if not _has_sums(connection):
        return
    connection.execute(sql.delete(ROW_SUMS))
    for table in (*_checked_tables(connection), _schema_table()):
        connection.exec_driver_sql(
            f"INSERT INTO row_sums (of_table, of_row, checksum) "  # noqa: S608  names of our own tables
            f"SELECT '{table.name}', {table.key_of('it')}, {table.content('it')} FROM {_rows_of(table)}"
        )


def faults(connection: sql.Connection) -> Iterator[str]:
    """Yield rows that differ from what was written, one sentence each."""
    if not _has_sums(connection):
        yield "the table row_sums is missing, so no row can be checked"
        return
    tables = [*_checked_tables(connection), _schema_table()]
    for table in tables:
        found = connection.exec_driver_sql(
            f"SELECT {table.key_of('it')}, sums.checksum IS NULL FROM {_rows_of(table)} "  # noqa: S608  likewise
            f"LEFT JOIN row_sums AS sums ON sums.of_table = '{table.name}' AND sums.of_row = {table.key_of('it')} "
            f"WHERE sums.checksum IS NOT {table.content('it')}"
        )
        for key, is_new in found:
            fault = "was not written by winnow" if is_new else "differs from what was written"
            yield f"{_describe_row(table, key)} {fault}"
        gone = connection.exec_driver_sql(
            f"SELECT of_row FROM row_sums WHERE of_table = '{table.name}' "  # noqa: S608  likewise
            f"AND of_row NOT IN (SELECT {table.key_of('it')} FROM {_rows_of(table)})"
        )
        for key in gone.scalars():
            yield f"{_describe_row(table, key)} is missing"
    known = sql.select(ROW_SUMS.c.of_table).where(ROW_SUMS.c.of_table.not_in([table.name for table in tables]))
    for name in connection.scalars(known.distinct()):
        yield f"the table {name} is missing"


def _row_sum(content: str) -> str:
    return hashlib.blake2b(content.encode("ascii"), digest_size=_DIGEST_BYTES).hexdigest()


def _has_sums(connection: sql.Connection) -> bool:
    wanted = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'row_sums'"
    return bool(connection.exec_driver_sql(wanted).scalar())


def _checked_tables(connection: sql.Connection) -> list[_Summed]:
    """Return every table except SQLite's own and that of the checksums."""
    names = connection.exec_driver_sql(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*' AND name <> 'row_sums' "
        "ORDER BY name"
    )
    return [_checked_table(connection, name) for name in names.scalars().all()]


def _checked_table(connection: sql.Connection, name: str) -> _Summed:
    told = connection.execute(sql.text("SELECT name, pk FROM pragma_table_info(:name)"), {"name": name}).all()
    key = [column for column, place in sorted(told, key=lambda each: each[1]) if place]
    columns = [column for column, _ in told]
    return _Summed(name=name, columns=columns, key=key or columns)


def _schema_table() -> _Summed:
    return _Summed(name=_SCHEMA, columns=_SCHEMA_COLUMNS, key=("type", "name"))


def _rows_of(table: _Summed) -> str:
    """Return the FROM clause. SQLite itself checks its own schema entries, such as the indexes of keys."""
    if table.name != _SCHEMA:
        return f'"{table.name}" AS it'
    return f"(SELECT * FROM {_SCHEMA} WHERE name NOT GLOB 'sqlite_*') AS it"  # noqa: S608  a name of SQLite's


def _triggers(table: _Summed) -> Iterator[str]:
    old, new = table.key_of("OLD"), table.key_of("NEW")
    here = f"of_table = '{table.name}' AND of_row = {old}"
    kept = f"CASE WHEN checksum = {table.content('OLD')} THEN {table.content('NEW')} ELSE checksum END"
    actions = {
        "INSERT": f"INSERT INTO row_sums (of_table, of_row, checksum) "  # noqa: S608  our own names
        f"VALUES ('{table.name}', {new}, {table.content('NEW')})",
        "UPDATE": f"UPDATE row_sums SET of_row = {new}, checksum = {kept} WHERE {here}",  # noqa: S608  likewise
        "DELETE": f"DELETE FROM row_sums WHERE {here}",  # noqa: S608  likewise
    }
    for event, action in actions.items():
        yield (
            f'CREATE TEMP TRIGGER "row_sum_{table.name}_{event.lower()}" AFTER {event} ON main."{table.name}" '
            f"BEGIN {action}; END"
        )


def _join(columns: Sequence[str], row: str) -> str:
    return " || ',' || ".join(f'hex(quote({row}."{column}"))' for column in columns)


def _describe_row(table: _Summed, key: str) -> str:
    values = (bytes.fromhex(each).decode("utf-8", "replace") for each in key.split(","))
    return f"the row {', '.join(values)} of {'the schema' if table.name == _SCHEMA else table.name}"
