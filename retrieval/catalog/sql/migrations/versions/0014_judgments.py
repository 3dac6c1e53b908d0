"""Judgments of documents, and whether a tenant keeps the texts of judged queries."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0014"
down_revision = "0013"

words = sql.String().with_variant(sql.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "judgments",
        sql.Column("number", sql.Integer, nullable=False, autoincrement=True),
        sql.Column("tenant", words, nullable=False),
        sql.Column("owner", words, nullable=False),
        sql.Column("collection", words, nullable=False),
        sql.Column("query_sha256", words, nullable=False),
        sql.Column("query", words),
        sql.Column("document", words, nullable=False),
        sql.Column("grade", sql.Integer),
        sql.Column("is_click", sql.Boolean, nullable=False),
        sql.Column("source", words, nullable=False),
        sql.Column("judge", words, nullable=False),
        sql.Column("at", words, nullable=False),
        sql.PrimaryKeyConstraint("number", name="pk_judgments"),
    )
    op.create_index("ix_judgments_tenant_is_click_number", "judgments", ["tenant", "is_click", "number"])
    op.create_index(
        "ix_judgments_tenant_owner_collection_query_sha256",
        "judgments",
        ["tenant", "owner", "collection", "query_sha256"],
    )
    op.create_index("ix_judgments_owner_collection", "judgments", ["owner", "collection"])
    op.create_table(
        "judgment_settings",
        sql.Column("tenant", words, nullable=False),
        sql.Column("keep_queries", sql.Boolean, nullable=False),
        sql.PrimaryKeyConstraint("tenant", name="pk_judgment_settings"),
    )


def downgrade() -> None:
    op.drop_table("judgment_settings")
    op.drop_table("judgments")
