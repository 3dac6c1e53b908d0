"""The collections of the catalog in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from retrieval.catalog import KEEP, Choice, Collection
from retrieval.embedder import EmbedderIdentity
from retrieval.errors import CollectionExists, CollectionNotFound
from retrieval.instruction_library import Reference
from retrieval.sql_database import SqlDatabase
from retrieval.sql_instructions import require_published
from retrieval.sql_tables import Words, metadata
from retrieval.sql_tenants import add_tenant

_collections = sql.Table(
    "collections",
    metadata,
    sql.Column("tenant", Words, sql.ForeignKey("tenants.name"), primary_key=True),
    sql.Column("name", Words, primary_key=True),
    sql.Column("embedder_name", Words, nullable=False),
    sql.Column("embedder_revision", Words, nullable=False),
    sql.Column("embedder_dimension", sql.Integer, nullable=False),
    sql.Column("embedder_prompt_format", Words, nullable=False),
    sql.Column("chunk_tokens", sql.Integer, nullable=False),
    sql.Column("created_at", Words, nullable=False),  # UTC, ISO 8601
    sql.Column("instruction", Words),
    sql.Column("reranker", Words),
)

TABLES: Final = frozenset({_collections})


class SqlCatalog:
    """Implements `Catalog`, over SQLite and PostgreSQL alike; its calls raise what `SqlDatabase` raises, too."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def add_collection(self, collection: Collection) -> None:
        with self._database.writing() as connection:
            add_tenant(connection, collection.tenant)
            try:
                connection.execute(sql.insert(_collections).values(_row_of(collection)))
            except IntegrityError as error:
                raise CollectionExists(collection.name) from error

    def collection(self, tenant: str, name: str) -> Collection:
        with self._database.reading() as connection:
            row = connection.execute(sql.select(_collections).where(_named(_collections, tenant, name))).first()
        if row is None:
            raise CollectionNotFound(name)
        return _collection(row)

    def collections(self, tenant: str) -> Sequence[Collection]:
        wanted = sql.select(_collections).where(_collections.c.tenant == tenant).order_by(_collections.c.name)
        with self._database.reading() as connection:
            return [_collection(row) for row in connection.execute(wanted)]

    def remove_collection(self, tenant: str, name: str) -> None:
        with self._database.writing() as connection:
            removed = connection.execute(sql.delete(_collections).where(_named(_collections, tenant, name)))
            if not removed.rowcount:
                raise CollectionNotFound(name)

    def change_collection(
        self, tenant: str, name: str, *, instruction: Choice = KEEP, reranker: Choice = KEEP
    ) -> Collection:
        choices = {"instruction": instruction, "reranker": reranker}
        changes = {column: choice for column, choice in choices.items() if choice is not KEEP}
        where = _named(_collections, tenant, name)
        with self._database.writing() as connection:
            if isinstance(instruction, str):
                require_published(connection, tenant, Reference.of(instruction))
            if changes:
                connection.execute(sql.update(_collections).where(where).values(changes))
            row = connection.execute(sql.select(_collections).where(where)).first()
            if row is None:
                raise CollectionNotFound(name)
            return _collection(row)


def _named(table: sql.Table, tenant: str, name: str) -> sql.ColumnElement[bool]:
    return sql.and_(table.c.tenant == tenant, table.c.name == name)


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
