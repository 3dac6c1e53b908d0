"""The newest version of a collection's store, so that other hosts need not ask an object store for it."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0022"
down_revision = "0021"

_COLUMNS = ("newest_version", "newest_token")


def upgrade() -> None:
    with op.batch_alter_table("writer_leases") as table:
        for name in _COLUMNS:
            table.add_column(sql.Column(name, sql.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("writer_leases") as table:
        for name in _COLUMNS:
            table.drop_column(name)
