"""Collapse of near-identical passages and MMR, per collection."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0012"
down_revision = "0011"

_COLUMNS = ("collapse_cosine", "collapse_shingles", "mmr_lambda")


def upgrade() -> None:
    with op.batch_alter_table("collections") as collections:
        for name in _COLUMNS:
            collections.add_column(sql.Column(name, sql.Double))


def downgrade() -> None:
    with op.batch_alter_table("collections") as collections:
        for name in _COLUMNS:
            collections.drop_column(name)
