"""The data folder of a catalog, unfinished collections, and storage reserved by writers."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0007"
down_revision = "0006"

words = sql.String().with_variant(sql.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "data_folder",
        sql.Column("id", words, nullable=False),
        sql.Column("joined_at", words, nullable=False),
        sql.PrimaryKeyConstraint("id", name="pk_data_folder"),
    )
    op.create_table(
        "unfinished_collections",
        sql.Column("tenant", words, nullable=False),
        sql.Column("name", words, nullable=False),
        sql.Column("made_at", words, nullable=False),
        sql.PrimaryKeyConstraint("tenant", "name", "made_at", name="pk_unfinished_collections"),
    )
    op.create_table(
        "storage_turns",
        sql.Column("tenant", words, nullable=False),
        sql.Column("turn", sql.BigInteger, nullable=False),
        sql.PrimaryKeyConstraint("tenant", name="pk_storage_turns"),
    )
    op.create_table(
        "storage_reservations",
        sql.Column("tenant", words, nullable=False),
        sql.Column("collection", words, nullable=False),
        sql.Column("documents", sql.BigInteger, nullable=False),
        sql.Column("bytes", sql.BigInteger, nullable=False),
        sql.PrimaryKeyConstraint("tenant", "collection", name="pk_storage_reservations"),
    )


def downgrade() -> None:
    for table in ("storage_reservations", "storage_turns", "unfinished_collections", "data_folder"):
        op.drop_table(table)
