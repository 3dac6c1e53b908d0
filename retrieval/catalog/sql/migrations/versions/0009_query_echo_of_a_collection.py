"""Demotion of passages with little but the query, per collection."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    with op.batch_alter_table("collections") as collections:
        collections.add_column(sql.Column("demote_query_echo", sql.Boolean))


def downgrade() -> None:
    with op.batch_alter_table("collections") as collections:
        collections.drop_column("demote_query_echo")
