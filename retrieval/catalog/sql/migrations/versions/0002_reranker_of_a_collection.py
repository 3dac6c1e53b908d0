"""Reranker of a collection: schema version 2 from before Alembic."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0002"
down_revision = "0001"

words = sql.String().with_variant(sql.String(collation="C"), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("collections") as collections:
        collections.add_column(sql.Column("reranker", words))


def downgrade() -> None:
    with op.batch_alter_table("collections") as collections:
        collections.drop_column("reranker")
