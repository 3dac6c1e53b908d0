"""Limits and usage of tenants in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import date
from typing import Final

import sqlalchemy as sql

from winnow.retrieval.catalog.quotas import AMOUNTS, TenantLimits, Usage
from winnow.retrieval.catalog.sql.audit import Change, record
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.tables import Words, metadata
from winnow.retrieval.tenancy import COMMAND_LINE, Actor, TenantName

# No reference to tenants: usage stays on record, and the default tenant can have limits before it has anything else.
_limits = sql.Table(
    "tenant_limits",
    metadata,
    sql.Column("tenant", Words, primary_key=True),
    sql.Column("requests_per_minute", sql.BigInteger),
    sql.Column("rerank_tokens_per_minute", sql.BigInteger),
    sql.Column("concurrent_requests", sql.BigInteger),
    sql.Column("documents", sql.BigInteger),
    sql.Column("bytes", sql.BigInteger),
    sql.Column("weight", sql.Double),
)

_usage = sql.Table(
    "usage",
    metadata,
    sql.Column("day", Words, primary_key=True),  # UTC, ISO 8601
    sql.Column("tenant", Words, primary_key=True),
    *(sql.Column(name, sql.BigInteger, nullable=False) for name in AMOUNTS),
)

TABLES: Final = frozenset({_limits, _usage})


class SqlLimitBook:
    """Implements `LimitBook`."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def limits(self) -> Mapping[str, TenantLimits]:
        with self._database.reading() as connection:
            rows = connection.execute(sql.select(_limits).order_by(_limits.c.tenant)).mappings()
            return {row["tenant"]: _read(row) for row in rows}

    def set_limits(self, tenant: TenantName, limits: TenantLimits, *, by: Actor = COMMAND_LINE) -> None:
        with self._database.writing() as connection:
            row = connection.execute(sql.select(_limits).where(_limits.c.tenant == tenant)).mappings().first()
            before = TenantLimits() if row is None else _read(row)
            if limits == before:
                return
            connection.execute(sql.delete(_limits).where(_limits.c.tenant == tenant))
            if limits != TenantLimits():
                connection.execute(sql.insert(_limits).values(tenant=tenant, **asdict(limits)))
            was, is_now = asdict(before), asdict(limits)
            record(
                connection,
                Change(actor=by, action="tenant.limits", tenant=tenant, subject=tenant, before=was, after=is_now),
            )


class SqlUsageBook:
    """Implements `UsageBook`."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def add(self, used: Iterable[Usage]) -> None:
        with self._database.writing() as connection:  # the only writer: no other can insert the row in between
            for each in used:
                more = {name: getattr(each, name) for name in AMOUNTS}
                here = sql.and_(_usage.c.tenant == each.tenant, _usage.c.day == each.day.isoformat())
                sums = {name: _usage.c[name] + amount for name, amount in more.items()}
                if not connection.execute(sql.update(_usage).where(here).values(sums)).rowcount:
                    row = {"tenant": each.tenant, "day": each.day.isoformat(), **more}
                    connection.execute(sql.insert(_usage).values(row))

    def usage(self, *, since: date, until: date, tenant: str | None = None) -> Sequence[Usage]:
        wanted = sql.select(_usage).where(_usage.c.day >= since.isoformat(), _usage.c.day <= until.isoformat())
        if tenant is not None:
            wanted = wanted.where(_usage.c.tenant == tenant)
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(_usage.c.day, _usage.c.tenant)).mappings()
            return [
                Usage(
                    tenant=row["tenant"],
                    day=date.fromisoformat(row["day"]),
                    **{name: row[name] for name in AMOUNTS},
                )
                for row in rows
            ]


def _read(row: sql.RowMapping) -> TenantLimits:
    return TenantLimits(**{each.name: row[each.name] for each in fields(TenantLimits)})
