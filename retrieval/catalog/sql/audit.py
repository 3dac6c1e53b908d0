"""The audit log in SQL. A trigger of the database refuses to change or remove entries: see the migration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import sqlalchemy as sql

from winnow.retrieval.catalog.audit import AuditEntry
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.tables import Words, metadata
from winnow.retrieval.records import JsonValue
from winnow.retrieval.tenancy import Actor, TenantName

AUDIT = sql.Table(
    "audit",
    metadata,
    sql.Column("number", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("at", Words, nullable=False),  # UTC, ISO 8601
    sql.Column("actor", Words, nullable=False),
    sql.Column("action", Words, nullable=False),
    sql.Column("tenant", Words, nullable=False),  # no reference: an entry outlives its subject
    sql.Column("subject", Words, nullable=False),
    sql.Column("before", Words),  # JSON
    sql.Column("after", Words),  # JSON
    sql.Index(None, "tenant", "number"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change to record. Properties are names, numbers and times: never a secret, never a text."""

    actor: Actor
    action: str  # noun, then verb: `key.create`
    tenant: TenantName
    subject: str
    before: Mapping[str, JsonValue] | None = None
    after: Mapping[str, JsonValue] | None = None


def record(connection: sql.Connection, change: Change) -> None:
    """Write the entry, in the transaction of the change itself."""
    connection.execute(
        sql.insert(AUDIT).values(
            at=datetime.now(UTC).isoformat(timespec="microseconds"),
            actor=change.actor,
            action=change.action,
            tenant=change.tenant,
            subject=change.subject,
            before=_json(change.before),
            after=_json(change.after),
        )
    )


class SqlAuditLog:
    """Reads the audit log. It has no method to write: the code that makes a change writes its entry."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def entries(self, *, tenant: TenantName | None, limit: int, before: int | None = None) -> Sequence[AuditEntry]:
        """Return the entries of this tenant, or of all, with numbers below `before`; newest first."""
        wanted = sql.select(AUDIT).order_by(AUDIT.c.number.desc()).limit(limit)
        if tenant is not None:
            wanted = wanted.where(AUDIT.c.tenant == tenant)
        if before is not None:
            wanted = wanted.where(AUDIT.c.number < before)
        with self._database.reading() as connection:
            return [_entry(row) for row in connection.execute(wanted)]


def _json(properties: Mapping[str, JsonValue] | None) -> str | None:
    return None if properties is None else orjson.dumps(properties, option=orjson.OPT_SORT_KEYS).decode()


def _entry(row: sql.Row[Any]) -> AuditEntry:
    return AuditEntry(
        number=row.number,
        at=datetime.fromisoformat(row.at),
        actor=Actor(row.actor),
        action=row.action,
        tenant=TenantName(row.tenant),
        subject=row.subject,
        before=None if row.before is None else orjson.loads(row.before),
        after=None if row.after is None else orjson.loads(row.after),
    )
