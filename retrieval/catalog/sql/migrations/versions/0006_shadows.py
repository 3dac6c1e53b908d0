"""Shadows of instructions, and their comparisons."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0006"
down_revision = "0005"

words = sql.String().with_variant(sql.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "shadows",
        sql.Column("tenant", words, nullable=False),
        sql.Column("name", words, nullable=False),
        sql.Column("version", sql.Integer, nullable=False),
        sql.Column("live", words, nullable=False),
        sql.Column("share", sql.Double, nullable=False),
        sql.Column("collection", words),
        sql.Column("keep_queries", sql.Boolean, nullable=False),
        sql.Column("started_at", words, nullable=False),
        sql.PrimaryKeyConstraint("tenant", "name", name="pk_shadows"),
    )
    op.create_table(
        "shadow_comparisons",
        sql.Column("number", sql.Integer, autoincrement=True, nullable=False),
        sql.Column("tenant", words, nullable=False),
        sql.Column("name", words, nullable=False),
        sql.Column("live", words, nullable=False),
        sql.Column("shadow", words, nullable=False),
        sql.Column("text_sha256", words, nullable=False),
        sql.Column("collection", words, nullable=False),
        sql.Column("at", words, nullable=False),
        sql.Column("query_sha256", words, nullable=False),
        sql.Column("query", words),
        sql.Column("candidates", sql.Integer, nullable=False),
        sql.Column("orders", words, nullable=False),
        sql.Column("overlap", sql.Double, nullable=False),
        sql.Column("tau", sql.Double),
        sql.Column("rbo", sql.Double, nullable=False),
        sql.Column("top_changed", sql.Boolean, nullable=False),
        sql.PrimaryKeyConstraint("number", name="pk_shadow_comparisons"),
    )
    op.create_index(
        "ix_shadow_comparisons_tenant_name_live_shadow_number",
        "shadow_comparisons",
        ["tenant", "name", "live", "shadow", "number"],
    )


def downgrade() -> None:
    for table in ("shadow_comparisons", "shadows"):
        op.drop_table(table)
