"""Schedules of golden sets, and the lease of the process that replays them."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0017"
down_revision = "0016"

words = sql.String().with_variant(sql.String(collation="C"), "postgresql")

_NUMBERS = ("every_seconds", "daily_hour")
_TIMES = ("scheduled_at", "replayed_due")


def upgrade() -> None:
    with op.batch_alter_table("stability_sets") as sets:
        for name in _NUMBERS:
            sets.add_column(sql.Column(name, sql.Integer))
        for name in _TIMES:
            sets.add_column(sql.Column(name, words))
    op.create_table(
        "stability_lease",
        sql.Column("name", words, nullable=False),
        sql.Column("token", words, nullable=False),
        sql.Column("until", words, nullable=False),
        sql.PrimaryKeyConstraint("name", name="pk_stability_lease"),
    )


def downgrade() -> None:
    op.drop_table("stability_lease")
    with op.batch_alter_table("stability_sets") as sets:
        for name in (*_NUMBERS, *_TIMES):
            sets.drop_column(name)
