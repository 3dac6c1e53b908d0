"""Uploaded files, the vector stores that they are attached to, and the defaults of API keys."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0018"
down_revision = "0017"

words = sql.String().with_variant(sql.String(collation="C"), "postgresql")

_OF_KEYS = ("instruction", "collection")


def _of_collection(table: str) -> sql.ForeignKeyConstraint:
    return sql.ForeignKeyConstraint(
        ["tenant", "collection"],
        ["collections.tenant", "collections.name"],
        ondelete="CASCADE",
        name=f"fk_{table}_tenant",
    )


def upgrade() -> None:
    with op.batch_alter_table("api_keys") as keys:
        for name in _OF_KEYS:
            keys.add_column(sql.Column(name, words))
    op.create_table(
        "uploaded_files",
        *(sql.Column(name, words, nullable=False) for name in ("tenant", "id", "name", "purpose", "created_at")),
        sql.Column("bytes", sql.BigInteger, nullable=False),
        sql.PrimaryKeyConstraint("tenant", "id", name="pk_uploaded_files"),
        sql.ForeignKeyConstraint(["tenant"], ["tenants.name"], name="fk_uploaded_files_tenant"),
    )
    op.create_table(
        "vector_stores",
        *(sql.Column(name, words, nullable=False) for name in ("tenant", "collection", "name", "notes")),
        sql.PrimaryKeyConstraint("tenant", "collection", name="pk_vector_stores"),
        _of_collection("vector_stores"),
    )
    op.create_table(
        "vector_store_files",
        *(
            sql.Column(name, words, nullable=False)
            for name in ("tenant", "collection", "file", "attached_at", "attributes", "status")
        ),
        sql.Column("documents", sql.Integer, nullable=False),
        sql.Column("rejected", sql.Integer, nullable=False),
        sql.Column("error", words),
        sql.Column("reason", words),
        sql.PrimaryKeyConstraint("tenant", "collection", "file", name="pk_vector_store_files"),
        _of_collection("vector_store_files"),
        sql.ForeignKeyConstraint(
            ["tenant", "file"], ["uploaded_files.tenant", "uploaded_files.id"], name="fk_vector_store_files_file"
        ),
    )


def downgrade() -> None:
    for name in ("vector_store_files", "vector_stores", "uploaded_files"):
        op.drop_table(name)
    with op.batch_alter_table("api_keys") as keys:
        for name in _OF_KEYS:
            keys.drop_column(name)
