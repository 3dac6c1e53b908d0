"""Upgrades and downgrades the schema. The only module besides the migrations that imports Alembic.

Alembic is imported on demand: a command that opens an up-to-date catalog does not wait for it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sql

from winnow.retrieval.catalog.sql.tables import SCHEMA_VERSION_OF_ALEMBIC, schema_version
from winnow.retrieval.errors import InvalidRequest, StoreCorrupt

if TYPE_CHECKING:
    from alembic.config import Config

_FOLDER: Final = Path(__file__).parent / "migrations" / "versions"
REVISIONS: Final = tuple(sorted(each.name.partition("_")[0] for each in _FOLDER.glob("[0-9]*.py")))  # "0001", ...
NEWEST: Final = REVISIONS[-1]
_VERSIONS_BEFORE_ALEMBIC: Final = {1: "0001", 2: "0002"}
_alembic_version: Final = sql.table("alembic_version", sql.column("version_num"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The schema of a database."""

    revision: str | None  # None: empty, from before Alembic, or not winnow's
    before_alembic: int | None = None  # the schema version from before Alembic

    @property
    def said(self) -> str:
        if self.revision is not None:
            return self.revision
        return "none" if self.before_alembic is None else str(self.before_alembic)


def schema_of(connection: sql.Connection) -> Schema:
    """Return the schema of the database, without changing it."""
    there = sql.inspect(connection)
    if there.has_table(_alembic_version.name):
        revision = connection.scalar(sql.select(_alembic_version.c.version_num))
        if revision is not None:
            return Schema(revision=revision)
    if there.has_table(schema_version.name):
        return Schema(revision=None, before_alembic=connection.scalar(sql.select(schema_version.c.version)))
    return Schema(revision=None)


def is_newest(connection: sql.Connection) -> bool:
    """Whether the schema is up to date."""
    return schema_of(connection).revision == NEWEST


def require_newest(connection: sql.Connection, *, place: str) -> None:
    """Raise `InvalidRequest` for an earlier schema, and `StoreCorrupt` for one of a later winnow."""
    found = _known(connection, place=place)
    if found.revision != NEWEST:
        raise InvalidRequest(
            f"{place} is at schema {found.said}, not {NEWEST}; upgrade it with `winnow catalog upgrade`"
        )


def migrate(connection: sql.Connection, *, place: str) -> None:
    """Upgrade to the newest schema, in the transaction of `connection`. Raises `StoreCorrupt` for a later schema.

    A database from before Alembic is first stamped with its revision; winnows of that time refuse it afterwards.
    """
    found = _known(connection, place=place)
    if found.revision == NEWEST:
        return  # another process was faster
    from alembic import command

    config = _config(connection)
    if found.before_alembic is not None:
        command.stamp(config, _VERSIONS_BEFORE_ALEMBIC[found.before_alembic])
        connection.execute(sql.update(schema_version).values(version=SCHEMA_VERSION_OF_ALEMBIC))
    command.upgrade(config, "head")


def migrate_down(connection: sql.Connection, revision: str, *, place: str) -> None:
    """Downgrade to an earlier schema, in the transaction of `connection`. Raises `InvalidRequest`, `StoreCorrupt`."""
    found = _known(connection, place=place)
    earlier = REVISIONS[: REVISIONS.index(found.revision)] if found.revision else ()
    if revision not in earlier:
        known = ", ".join(earlier) or "none"
        raise InvalidRequest(f"{place} is at schema {found.said}; {revision!r} is not an earlier one ({known})")
    from alembic import command

    command.downgrade(_config(connection), revision)


def _known(connection: sql.Connection, *, place: str) -> Schema:
    found = schema_of(connection)
    versions = {None, *_VERSIONS_BEFORE_ALEMBIC}
    is_known = found.revision in REVISIONS if found.revision else found.before_alembic in versions
    if not is_known:
        raise StoreCorrupt(f"{place} has schema version {found.said}, this winnow reads {NEWEST}; use a later winnow")
    return found


def _config(connection: sql.Connection) -> Config:
    from alembic.config import Config

    logging.getLogger("alembic").setLevel(logging.WARNING)  # it would log every step
    config = Config()
    config.set_main_option("script_location", "winnow.retrieval.catalog.sql:migrations")
    config.attributes["connection"] = connection
    return config
