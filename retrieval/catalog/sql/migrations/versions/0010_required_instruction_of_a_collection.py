"""Collections that require a reranker that reads instructions."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    with op.batch_alter_table("collections") as collections:
        collections.add_column(sql.Column("require_instruction", sql.Boolean))


def downgrade() -> None:
    with op.batch_alter_table("collections") as collections:
        collections.drop_column("require_instruction")
