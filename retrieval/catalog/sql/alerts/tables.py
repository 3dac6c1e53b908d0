"""The tables of thresholds, breaches, webhooks and their deliveries.

Moments are in UTC, in ISO 8601 with microseconds: as texts they sort by time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sql

from winnow.retrieval.catalog.sql.tables import Words, metadata
from winnow.retrieval.tenancy import TenantName

OF_TENANT: Final = ""  # in place of a collection's name: all collections without thresholds of their own

THRESHOLDS: Final = sql.Table(
    "stability_thresholds",
    metadata,
    sql.Column("tenant", Words, primary_key=True),
    sql.Column("collection", Words, primary_key=True),
    sql.Column("limits", Words, nullable=False),  # JSON
    sql.Column("queries_min", sql.Integer, nullable=False),
)

# Removed with their runs.
BREACHES: Final = sql.Table(
    "stability_breaches",
    metadata,
    sql.Column("run", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("measure", Words, primary_key=True),
    sql.Column("value", sql.Double, nullable=False),
    sql.Column("bound", sql.Double, nullable=False),
)

WEBHOOKS: Final = sql.Table(
    "stability_webhooks",
    metadata,
    sql.Column("tenant", Words, primary_key=True),
    sql.Column("url", Words, nullable=False),
    sql.Column("secret", Words, nullable=False),  # as it was shown: it must sign, so it cannot be a hash
    sql.Column("previous_secret", Words),
    sql.Column("previous_until", Words),  # it signs as well until then
    sql.Column("created_at", Words, nullable=False),
)

# The outbox. A row is written with the run that it tells of, and stays when it was delivered or given up.
DELIVERIES: Final = sql.Table(
    "stability_deliveries",
    metadata,
    sql.Column("id", Words, primary_key=True),  # the idempotency key
    sql.Column("tenant", Words, nullable=False),
    sql.Column("collection", Words, nullable=False),
    sql.Column("run", sql.Integer, nullable=False),
    sql.Column("created_at", Words, nullable=False),
    sql.Column("body", Words, nullable=False),  # exactly what is signed and sent, at each attempt
    sql.Column("state", Words, nullable=False),
    sql.Column("attempts", sql.Integer, nullable=False),  # begun
    sql.Column("next_at", Words, nullable=False),
    sql.Column("holder", Words),  # the process that makes an attempt
    sql.Column("leased_until", Words),  # no other process may make one until then
    sql.Column("ended_at", Words),
    sql.Column("problem", Words),  # of the last attempt
    sql.Index(None, "state", "next_at"),
    sql.Index(None, "tenant", "created_at"),
)

TABLES: Final = frozenset({THRESHOLDS, BREACHES, WEBHOOKS, DELIVERIES})


def said(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def forget_collection(connection: sql.Connection, tenant: TenantName, collection: str) -> None:
    """Delete what names a collection, in the transaction of its removal. Its breaches go with their runs."""
    for table in (THRESHOLDS, DELIVERIES):
        connection.execute(sql.delete(table).where(table.c.tenant == tenant, table.c.collection == collection))


def forget_runs(connection: sql.Connection, runs: sql.Select[tuple[int]]) -> None:
    """Delete the breaches of these runs, in the transaction of their removal."""
    connection.execute(sql.delete(BREACHES).where(BREACHES.c.run.in_(runs)))
