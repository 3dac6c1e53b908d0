"""The data folder of a catalog, in SQL: one row, which must equal the folder's own mark."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sql

from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.tables import Words, metadata

FIRST_REVISION: Final = "0007"  # of the schema; earlier catalogs name no folder

DATA_FOLDER: Final = sql.Table(
    "data_folder",
    metadata,
    sql.Column("id", Words, primary_key=True),
    sql.Column("joined_at", Words, nullable=False),  # UTC, ISO 8601
)


class SqlFolderBook:
    """The id of the catalog's data folder."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def folder(self) -> str | None:
        """Return the folder's id, or None until a folder has joined."""
        with self._database.reading() as connection:
            return connection.scalar(sql.select(DATA_FOLDER.c.id))

    def join(self, folder: str, *, replace: bool = False) -> str:
        """Join a folder, and return the catalog's folder from now on: the first of several that join at once.

        With `replace` it is always this one.
        """
        with self._database.writing() as connection:
            found: str | None = connection.scalar(sql.select(DATA_FOLDER.c.id))
            if found is not None and not replace:
                return found
            connection.execute(sql.delete(DATA_FOLDER))
            now = datetime.now(UTC).isoformat(timespec="seconds")
            connection.execute(sql.insert(DATA_FOLDER).values(id=folder, joined_at=now))
            return folder
