"""The tables of uploaded files. The bytes of the files lie in the data folder."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sql

from winnow.retrieval.catalog.sql.tables import Words, metadata

UPLOADED_FILES = sql.Table(
    "uploaded_files",
    metadata,
    sql.Column("tenant", Words, sql.ForeignKey("tenants.name"), primary_key=True),
    sql.Column("id", Words, primary_key=True),
    sql.Column("name", Words, nullable=False),
    sql.Column("purpose", Words, nullable=False),
    sql.Column("created_at", Words, nullable=False),  # UTC, ISO 8601, as all times here
    sql.Column("bytes", sql.BigInteger, nullable=False),
)

VECTOR_STORES = sql.Table(
    "vector_stores",
    metadata,
    sql.Column("tenant", Words, primary_key=True),
    sql.Column("collection", Words, primary_key=True),
    sql.Column("name", Words, nullable=False),
    sql.Column("notes", Words, nullable=False),  # JSON: OpenAI's metadata
    sql.ForeignKeyConstraint(["tenant", "collection"], ["collections.tenant", "collections.name"], ondelete="CASCADE"),
)

VECTOR_STORE_FILES = sql.Table(
    "vector_store_files",
    metadata,
    sql.Column("tenant", Words, primary_key=True),
    sql.Column("collection", Words, primary_key=True),
    sql.Column("file", Words, primary_key=True),
    sql.Column("attached_at", Words, nullable=False),
    sql.Column("attributes", Words, nullable=False),  # JSON
    sql.Column("status", Words, nullable=False),
    sql.Column("documents", sql.Integer, nullable=False),
    sql.Column("rejected", sql.Integer, nullable=False),
    sql.Column("error", Words),
    sql.Column("reason", Words),
    sql.ForeignKeyConstraint(["tenant", "collection"], ["collections.tenant", "collections.name"], ondelete="CASCADE"),
    sql.ForeignKeyConstraint(
        ["tenant", "file"], ["uploaded_files.tenant", "uploaded_files.id"], name="fk_vector_store_files_file"
    ),
)

TABLES: Final = frozenset({UPLOADED_FILES, VECTOR_STORES, VECTOR_STORE_FILES})
