"""What the next store and the next move of a pointer must exceed, where several hosts share a catalog."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0021"
down_revision = "0019"

_COLUMNS = ("store_version", "pointer_token")


def upgrade() -> None:
    with op.batch_alter_table("writer_leases") as table:
        for name in _COLUMNS:
            table.add_column(sql.Column(name, sql.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("writer_leases") as table:
        for name in _COLUMNS:
            table.drop_column(name)
