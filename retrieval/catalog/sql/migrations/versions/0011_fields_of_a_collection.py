"""Fields that reranker and embedder read before a text, per collection."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    words = sql.String(collation="C") if op.get_bind().dialect.name == "postgresql" else sql.String()
    with op.batch_alter_table("collections") as collections:
        collections.add_column(sql.Column("rerank_fields", words))
        collections.add_column(sql.Column("embed_fields", words))


def downgrade() -> None:
    with op.batch_alter_table("collections") as collections:
        collections.drop_column("rerank_fields")
        collections.drop_column("embed_fields")
