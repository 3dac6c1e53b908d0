"""The data folder that a catalog belongs to, in SQL: one row, which the folder's own mark has to equal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sql

from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.tables import Words, metadata

FIRST_REVISION: Final = "0007"  # of the schema; before it no catalog names a folder

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
        """None until a folder has joined."""
        with self._database.reading() as connection:
            return connection.scalar(sql.select(DATA_FOLDER.c.id))

    def join(self, folder: str, *, replace: bool = False) -> str:
        """Returns the folder that the catalog belongs to from now on: of several that join at once, the first.

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
