"""The catalog in SQL: tenants, collections and instructions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from retrieval.catalog import KEEP, Choice, Collection, Instruction
from retrieval.embedder import EmbedderIdentity
from retrieval.errors import CollectionExists, CollectionNotFound, InstructionNotFound
from retrieval.sql_database import SqlDatabase
from retrieval.sql_tables import Words, metadata

_tenants = sql.Table("tenants", metadata, sql.Column("name", Words, primary_key=True))

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

_instructions = sql.Table(
    "instructions",
    metadata,
    sql.Column("tenant", Words, sql.ForeignKey("tenants.name"), primary_key=True),
    sql.Column("name", Words, primary_key=True),
    sql.Column("version", sql.Integer, primary_key=True),
    sql.Column("text", Words, nullable=False),
    sql.Column("created_at", Words, nullable=False),  # UTC, ISO 8601
)

TABLES: Final = frozenset({_tenants, _collections, _instructions})


class SqlCatalog:
    """Implements `Catalog`, over SQLite and PostgreSQL alike; its calls raise what `SqlDatabase` raises, too."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def add_collection(self, collection: Collection) -> None:
        with self._database.writing() as connection:
            _add_tenant(connection, collection.tenant)
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
                _newest_instruction(connection, tenant, instruction)
            if changes:
                connection.execute(sql.update(_collections).where(where).values(changes))
            row = connection.execute(sql.select(_collections).where(where)).first()
            if row is None:
                raise CollectionNotFound(name)
            return _collection(row)

    def publish_instruction(self, tenant: str, name: str, text: str) -> Instruction:
        with self._database.writing() as connection:
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
        with self._database.reading() as connection:
            return _newest_instruction(connection, tenant, name, version=version)

    def instructions(self, tenant: str) -> Sequence[Instruction]:
        columns = _instructions.c
        wanted = sql.select(_instructions).where(columns.tenant == tenant).order_by(columns.name, columns.version)
        with self._database.reading() as connection:
            return [_instruction(row) for row in connection.execute(wanted)]


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
