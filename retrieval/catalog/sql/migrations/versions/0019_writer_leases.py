"""The leases of the processes that write to collections, where several hosts share a catalog."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0019"
down_revision = "0018"

words = sql.String().with_variant(sql.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "writer_leases",
        *(sql.Column(name, words, nullable=False) for name in ("tenant", "collection")),
        sql.Column("token", sql.BigInteger, nullable=False),
        sql.Column("holder", words, nullable=False),
        sql.Column("expires_ms", sql.BigInteger, nullable=False),
        sql.Column("needs_fence", sql.Integer, nullable=False),
        sql.Column("next_number", sql.BigInteger, nullable=False),
        sql.PrimaryKeyConstraint("tenant", "collection", name="pk_writer_leases"),
    )


def downgrade() -> None:
    op.drop_table("writer_leases")
