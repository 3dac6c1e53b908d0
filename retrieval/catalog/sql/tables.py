"""Shared by all tables: one MetaData, one type of text.

Each subject has its tables in its own module; `retrieval.catalog.sql.schema` collects them.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.records import is_text

NAMES: Final = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}  # names for later migrations, equal on both databases

metadata: Final = sql.MetaData(naming_convention=NAMES)


class Words(TypeDecorator[str]):
    """Text that both databases store, compare and order alike: by code points, and without NUL.

    PostgreSQL would order by the language its server was set up with, and cannot store NUL, which SQLite can.
    Binding any other text raises `InvalidRequest`.
    """

    impl = sql.String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        return dialect.type_descriptor(sql.String(collation="C") if dialect.name == "postgresql" else sql.String())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        del dialect
        if value is not None and ("\0" in value or not is_text(value)):
            raise InvalidRequest("a name or text contains a NUL or half a surrogate pair")
        return value


# Read by winnows from before Alembic: they open 1 or 2, and refuse anything greater.
schema_version: Final = sql.Table(
    "schema_version", metadata, sql.Column("version", sql.Integer, primary_key=True, autoincrement=False)
)
SCHEMA_VERSION_OF_ALEMBIC: Final = 3  # never changes; Alembic's own table has the revision
