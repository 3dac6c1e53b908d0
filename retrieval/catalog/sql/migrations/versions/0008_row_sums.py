"""Checksums of all other rows for SQLite; on PostgreSQL the table stays empty."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0008"
down_revision = "0007"

words = sql.String().with_variant(sql.String(collation="C"), "postgresql")


def upgrade() -> None:
    """The checksums are calculated at the end of the transaction (retrieval/catalog/sql/row_checksums.py), after every
    migration."""
    op.create_table(
        "row_sums",
        sql.Column("of_table", words, nullable=False),
        sql.Column("of_row", words, nullable=False),
        sql.Column("checksum", words, nullable=False),
        sql.PrimaryKeyConstraint("of_table", "of_row", name="pk_row_sums"),
    )


def downgrade() -> None:
    op.drop_table("row_sums")
