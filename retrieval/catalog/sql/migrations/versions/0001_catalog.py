"""Tenants, collections and instructions: schema version 1 from before Alembic."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0001"
down_revision = None

words = sql.String().with_variant(sql.String(collation="C"), "postgresql")


def upgrade() -> None:
    version = op.create_table(
        "schema_version",
        sql.Column("version", sql.Integer, autoincrement=False, nullable=False),
        sql.PrimaryKeyConstraint("version", name="pk_schema_version"),
    )
    op.bulk_insert(version, [{"version": 3}])  # winnows from before Alembic read 1 and 2, and refuse this
    op.create_table(
        "tenants",
        sql.Column("name", words, nullable=False),
        sql.PrimaryKeyConstraint("name", name="pk_tenants"),
    )
    op.create_table(
        "collections",
        sql.Column("tenant", words, nullable=False),
        sql.Column("name", words, nullable=False),
        sql.Column("embedder_name", words, nullable=False),
        sql.Column("embedder_revision", words, nullable=False),
        sql.Column("embedder_dimension", sql.Integer, nullable=False),
        sql.Column("embedder_prompt_format", words, nullable=False),
        sql.Column("chunk_tokens", sql.Integer, nullable=False),
        sql.Column("created_at", words, nullable=False),
        sql.Column("instruction", words),
        sql.PrimaryKeyConstraint("tenant", "name", name="pk_collections"),
        sql.ForeignKeyConstraint(["tenant"], ["tenants.name"], name="fk_collections_tenant"),
    )
    op.create_table(
        "instructions",
        sql.Column("tenant", words, nullable=False),
        sql.Column("name", words, nullable=False),
        sql.Column("version", sql.Integer, nullable=False),
        sql.Column("text", words, nullable=False),
        sql.Column("created_at", words, nullable=False),
        sql.PrimaryKeyConstraint("tenant", "name", "version", name="pk_instructions"),
        sql.ForeignKeyConstraint(["tenant"], ["tenants.name"], name="fk_instructions_tenant"),
    )


def downgrade() -> None:
    for table in ("instructions", "collections", "tenants", "schema_version"):
        op.drop_table(table)
