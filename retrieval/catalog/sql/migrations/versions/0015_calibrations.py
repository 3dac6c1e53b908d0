"""Calibrated thresholds of relevance."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0015"
down_revision = "0014"

words = sql.String().with_variant(sql.String(collation="C"), "postgresql")

_SHARES = ("threshold", "precision", "confidence", "lower", "observed", "coverage", "kept")
_COUNTS = ("queries", "tested", "answered", "top_k", "candidates")


def upgrade() -> None:
    op.create_table(
        "calibrations",
        *(
            sql.Column(name, words, nullable=False)
            for name in ("tenant", "collection", "reranker", "instruction_sha256", "revision", "fields")
        ),
        sql.Column("instruction", words),
        *(sql.Column(name, sql.Double, nullable=False) for name in _SHARES),
        *(sql.Column(name, sql.Integer, nullable=False) for name in _COUNTS),
        sql.Column("seed", sql.BigInteger, nullable=False),
        sql.Column("made_at", words, nullable=False),
        sql.PrimaryKeyConstraint("tenant", "collection", "reranker", "instruction_sha256", name="pk_calibrations"),
        sql.ForeignKeyConstraint(
            ["tenant", "collection"],
            ["collections.tenant", "collections.name"],
            ondelete="CASCADE",
            name="fk_calibrations_tenant",
        ),
    )


def downgrade() -> None:
    op.drop_table("calibrations")
