"""Limits of tenants, and their usage per day."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0005"
down_revision = "0004"

words = sql.String().with_variant(sql.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "tenant_limits",
        sql.Column("tenant", words, nullable=False),
        sql.Column("requests_per_minute", sql.BigInteger),
        sql.Column("rerank_tokens_per_minute", sql.BigInteger),
        sql.Column("concurrent_requests", sql.BigInteger),
        sql.Column("documents", sql.BigInteger),
        sql.Column("bytes", sql.BigInteger),
        sql.Column("weight", sql.Double),
        sql.PrimaryKeyConstraint("tenant", name="pk_tenant_limits"),
    )
    op.create_table(
        "usage",
        sql.Column("day", words, nullable=False),
        sql.Column("tenant", words, nullable=False),
        sql.Column("requests", sql.BigInteger, nullable=False),
        sql.Column("searches", sql.BigInteger, nullable=False),
        sql.Column("rerank_documents", sql.BigInteger, nullable=False),
        sql.Column("rerank_remembered", sql.BigInteger, nullable=False),
        sql.Column("rerank_tokens", sql.BigInteger, nullable=False),
        sql.Column("embedded_tokens", sql.BigInteger, nullable=False),
        sql.Column("documents_written", sql.BigInteger, nullable=False),
        sql.Column("bytes_written", sql.BigInteger, nullable=False),
        sql.PrimaryKeyConstraint("day", "tenant", name="pk_usage"),
    )


def downgrade() -> None:
    for table in ("usage", "tenant_limits"):
        op.drop_table(table)
