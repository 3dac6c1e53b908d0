"""Thresholds on ranking stability, their breaches, and the webhooks that tell of them."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0016"
down_revision = "0015"

words = sql.String().with_variant(sql.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "stability_thresholds",
        sql.Column("tenant", words, nullable=False),
        sql.Column("collection", words, nullable=False),
        sql.Column("limits", words, nullable=False),
        sql.Column("queries_min", sql.Integer, nullable=False),
        sql.PrimaryKeyConstraint("tenant", "collection", name="pk_stability_thresholds"),
    )
    op.create_table(
        "stability_breaches",
        sql.Column("run", sql.Integer, autoincrement=False, nullable=False),
        sql.Column("measure", words, nullable=False),
        sql.Column("value", sql.Double, nullable=False),
        sql.Column("bound", sql.Double, nullable=False),
        sql.PrimaryKeyConstraint("run", "measure", name="pk_stability_breaches"),
    )
    _webhooks()


def _webhooks() -> None:
    op.create_table(
        "stability_webhooks",
        sql.Column("tenant", words, nullable=False),
        sql.Column("url", words, nullable=False),
        sql.Column("secret", words, nullable=False),
        sql.Column("previous_secret", words),
        sql.Column("previous_until", words),
        sql.Column("created_at", words, nullable=False),
        sql.PrimaryKeyConstraint("tenant", name="pk_stability_webhooks"),
    )
    op.create_table(
        "stability_deliveries",
        sql.Column("id", words, nullable=False),
        sql.Column("tenant", words, nullable=False),
        sql.Column("collection", words, nullable=False),
        sql.Column("run", sql.Integer, nullable=False),
        sql.Column("created_at", words, nullable=False),
        sql.Column("body", words, nullable=False),
        sql.Column("state", words, nullable=False),
        sql.Column("attempts", sql.Integer, nullable=False),
        sql.Column("next_at", words, nullable=False),
        sql.Column("holder", words),
        sql.Column("leased_until", words),
        sql.Column("ended_at", words),
        sql.Column("problem", words),
        sql.PrimaryKeyConstraint("id", name="pk_stability_deliveries"),
    )
    op.create_index("ix_stability_deliveries_state_next_at", "stability_deliveries", ["state", "next_at"])
    op.create_index("ix_stability_deliveries_tenant_created_at", "stability_deliveries", ["tenant", "created_at"])


def downgrade() -> None:
    for table in ("stability_deliveries", "stability_webhooks", "stability_breaches", "stability_thresholds"):
        op.drop_table(table)
