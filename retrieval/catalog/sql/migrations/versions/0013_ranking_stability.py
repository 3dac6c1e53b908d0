"""Golden sets with their runs, and samples of live searches."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0013"
down_revision = "0012"

words = sql.String().with_variant(sql.String(collation="C"), "postgresql")


def upgrade() -> None:
    _golden_sets()
    _runs()
    op.create_table(
        "stability_sampling",
        sql.Column("tenant", words, nullable=False),
        sql.Column("share", sql.Double, nullable=False),
        sql.Column("keep_queries", sql.Boolean, nullable=False),
        sql.Column("digest_key", words, nullable=False),
        sql.PrimaryKeyConstraint("tenant", name="pk_stability_sampling"),
    )
    op.create_table(
        "stability_samples",
        sql.Column("number", sql.Integer, autoincrement=True, nullable=False),
        sql.Column("tenant", words, nullable=False),
        sql.Column("collection", words, nullable=False),
        sql.Column("at", words, nullable=False),
        sql.Column("query_digest", words, nullable=False),
        sql.Column("query", words),
        sql.Column("state", words, nullable=False),
        sql.Column("places", words, nullable=False),
        sql.Column("degraded", words),
        sql.PrimaryKeyConstraint("number", name="pk_stability_samples"),
    )
    op.create_index("ix_stability_samples_tenant_number", "stability_samples", ["tenant", "number"])


def _golden_sets() -> None:
    op.create_table(
        "stability_sets",
        sql.Column("tenant", words, nullable=False),
        sql.Column("name", words, nullable=False),
        sql.Column("collection", words, nullable=False),
        sql.Column("created_at", words, nullable=False),
        sql.Column("candidates", sql.Integer),
        sql.Column("recall", words),
        sql.Column("instruction", words),
        sql.Column("baseline", sql.Integer),
        sql.PrimaryKeyConstraint("tenant", "name", name="pk_stability_sets"),
    )
    op.create_table(
        "stability_queries",
        sql.Column("tenant", words, nullable=False),
        sql.Column("set_name", words, nullable=False),
        sql.Column("query_sha256", words, nullable=False),
        sql.Column("position", sql.Integer, nullable=False),
        sql.Column("query", words, nullable=False),
        sql.Column("judgments", words),
        sql.PrimaryKeyConstraint("tenant", "set_name", "query_sha256", name="pk_stability_queries"),
    )


def _runs() -> None:
    op.create_table(
        "stability_runs",
        sql.Column("number", sql.Integer, autoincrement=True, nullable=False),
        sql.Column("tenant", words, nullable=False),
        sql.Column("set_name", words, nullable=False),
        sql.Column("collection", words, nullable=False),
        sql.Column("at", words, nullable=False),
        sql.Column("state", words, nullable=False),
        sql.Column("baseline", sql.Integer),
        sql.Column("measures", words),
        sql.Column("changed", words, nullable=False),
        sql.Column("causes", words, nullable=False),
        sql.Column("trigger", words, nullable=False),
        sql.PrimaryKeyConstraint("number", name="pk_stability_runs"),
    )
    op.create_index("ix_stability_runs_tenant_set_name_number", "stability_runs", ["tenant", "set_name", "number"])
    op.create_table(
        "stability_answers",
        sql.Column("run", sql.Integer, autoincrement=False, nullable=False),
        sql.Column("query_sha256", words, nullable=False),
        sql.Column("query", words, nullable=False),
        sql.Column("places", words, nullable=False),
        sql.Column("degraded", words),
        sql.PrimaryKeyConstraint("run", "query_sha256", name="pk_stability_answers"),
    )


def downgrade() -> None:
    for table in (
        "stability_samples", "stability_sampling", "stability_answers", "stability_runs", "stability_queries",
        "stability_sets",
    ):  # fmt: skip
        op.drop_table(table)
