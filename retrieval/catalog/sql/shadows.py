"""Shadows of instructions and their comparisons, in SQL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sql

from winnow.retrieval.catalog.shadows import (
    COMPARISONS_PER_PAIR_MAX,
    Agreement,
    Comparison,
    Outcome,
    Place,
    Shadow,
    VersionPair,
)
from winnow.retrieval.catalog.sql.audit import Change, record
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.tables import Words, metadata
from winnow.retrieval.errors import InstructionNotFound
from winnow.retrieval.tenancy import Actor, TenantName

_shadows = sql.Table(
    "shadows",
    metadata,
    sql.Column("tenant", Words, primary_key=True),
    sql.Column("name", Words, primary_key=True),
    sql.Column("version", sql.Integer, nullable=False),
    sql.Column("live", Words, nullable=False),  # NAME or NAME@VERSION
    sql.Column("share", sql.Double, nullable=False),
    sql.Column("collection", Words),
    sql.Column("keep_queries", sql.Boolean, nullable=False),
    sql.Column("started_at", Words, nullable=False),  # UTC, ISO 8601
)

_comparisons = sql.Table(
    "shadow_comparisons",
    metadata,
    sql.Column("number", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("tenant", Words, nullable=False),
    sql.Column("name", Words, nullable=False),
    sql.Column("live", Words, nullable=False),  # NAME@VERSION
    sql.Column("shadow", Words, nullable=False),  # likewise
    sql.Column("text_sha256", Words, nullable=False),
    sql.Column("collection", Words, nullable=False),
    sql.Column("at", Words, nullable=False),  # UTC, ISO 8601
    sql.Column("query_sha256", Words, nullable=False),
    sql.Column("query", Words),  # JSON, as it may contain a NUL or half a surrogate pair, which databases refuse
    sql.Column("candidates", sql.Integer, nullable=False),
    sql.Column("orders", Words, nullable=False),  # JSON, as document ids may contain the same: `_places` of both
    sql.Column("overlap", sql.Double, nullable=False),
    sql.Column("tau", sql.Double),
    sql.Column("rbo", sql.Double, nullable=False),
    sql.Column("top_changed", sql.Boolean, nullable=False),
    sql.Index(None, "tenant", "name", "live", "shadow", "number"),
)

TABLES: Final = frozenset({_shadows, _comparisons})


class SqlShadowBook:
    """The shadows of all tenants and their comparisons. Changes are on the disk when a call returns.

    Every name is looked up within a tenant. The audit log records the start and end of a shadow.

    Its calls also raise what `SqlDatabase` raises.
    """

    def __init__(self, database: SqlDatabase, *, kept_max: int = COMPARISONS_PER_PAIR_MAX) -> None:
        self._database = database
        self._kept_max = kept_max

    def start(self, shadow: Shadow, *, by: Actor) -> None:
        """Start a shadow; it replaces the tenant's shadow of this name."""
        with self._database.writing() as connection:
            before = _find(connection, shadow.tenant, shadow.name)
            connection.execute(sql.delete(_shadows).where(_by_name(_shadows, shadow.tenant, shadow.name)))
            connection.execute(sql.insert(_shadows).values(_row_of(shadow)))
            record(
                connection,
                Change(
                    actor=by,
                    action="shadow.start",
                    tenant=shadow.tenant,
                    subject=shadow.name,
                    before=_properties(before),
                    after=_properties(shadow),
                ),
            )

    def stop(self, tenant: TenantName, name: str, *, forget: bool = False, by: Actor) -> None:
        """Stop a shadow, and delete its comparisons if `forget`. Raises `InstructionNotFound` if there are none."""
        with self._database.writing() as connection:
            before = _find(connection, tenant, name)
            connection.execute(sql.delete(_shadows).where(_by_name(_shadows, tenant, name)))
            forgotten = (
                connection.execute(sql.delete(_comparisons).where(_by_name(_comparisons, tenant, name))).rowcount
                if forget
                else 0
            )
            if before is None and not forgotten:
                raise InstructionNotFound(f"{name[:80]} has no shadow")
            action = "shadow.forget" if forget else "shadow.stop"
            record(
                connection,
                Change(actor=by, action=action, tenant=tenant, subject=name, before=_properties(before)),
            )

    def promoted(self, tenant: TenantName, name: str, version: int, *, by: Actor) -> None:
        """End the name's shadow, because the name now means this version."""
        with self._database.writing() as connection:
            before = _find(connection, tenant, name)
            connection.execute(sql.delete(_shadows).where(_by_name(_shadows, tenant, name)))
            record(
                connection,
                Change(
                    actor=by,
                    action="instruction.promote",
                    tenant=tenant,
                    subject=f"{name}@{version}",
                    before=_properties(before),
                ),
            )

    def shadows(self, tenant: TenantName | None = None) -> Sequence[Shadow]:
        """Return the shadows of a tenant, or of all, by tenant and name."""
        wanted = sql.select(_shadows).order_by(_shadows.c.tenant, _shadows.c.name)
        if tenant is not None:
            wanted = wanted.where(_shadows.c.tenant == tenant)
        with self._database.reading() as connection:
            return [_shadow(row) for row in connection.execute(wanted)]

    def add(self, comparisons: Iterable[Comparison]) -> None:
        """Add all comparisons or none. Beyond `COMPARISONS_PER_PAIR_MAX` per pair the oldest are deleted."""
        rows = [_row_of_comparison(each) for each in comparisons]
        if not rows:
            return
        with self._database.writing() as connection:
            connection.execute(sql.insert(_comparisons), rows)
            for tenant, name, live, shadow in {(r["tenant"], r["name"], r["live"], r["shadow"]) for r in rows}:
                columns = _comparisons.c
                of_pair = sql.and_(_by_name(_comparisons, tenant, name), columns.live == live, columns.shadow == shadow)
                newest_first = sql.select(columns.number).where(of_pair).order_by(columns.number.desc())
                last = connection.scalar(newest_first.offset(self._kept_max).limit(1))
                if last is not None:
                    connection.execute(sql.delete(_comparisons).where(of_pair, columns.number <= last))

    def outcomes(self, tenant: TenantName, name: str) -> Sequence[Outcome]:
        """Return outcomes in the order they were added."""
        names = ("number", "live", "shadow", "text_sha256", "overlap", "tau", "rbo", "top_changed")
        columns = [_comparisons.c[each] for each in names]
        wanted = sql.select(*columns).where(_by_name(_comparisons, tenant, name)).order_by(_comparisons.c.number)
        with self._database.reading() as connection:
            return [
                Outcome(number=row.number, pair=_pair(row), agreement=_agreement(row))
                for row in connection.execute(wanted)
            ]

    def comparisons(self, tenant: TenantName, name: str, numbers: Sequence[int]) -> Sequence[Comparison]:
        """Return comparisons by number, in the given order; missing ones and those of others are skipped."""
        wanted = sql.select(_comparisons).where(
            _by_name(_comparisons, tenant, name), _comparisons.c.number.in_(numbers)
        )
        with self._database.reading() as connection:
            found = {row.number: _comparison(row) for row in connection.execute(wanted)}
        return [found[number] for number in numbers if number in found]


def _by_name(table: sql.Table, tenant: str, name: str) -> sql.ColumnElement[bool]:
    return sql.and_(table.c.tenant == tenant, table.c.name == name)


def _find(connection: sql.Connection, tenant: str, name: str) -> Shadow | None:
    row = connection.execute(sql.select(_shadows).where(_by_name(_shadows, tenant, name))).first()
    return None if row is None else _shadow(row)


def _properties(shadow: Shadow | None) -> dict[str, Any] | None:
    """Return what the audit log records besides tenant and name."""
    if shadow is None:
        return None
    return {name: value for name, value in _row_of(shadow).items() if name not in ("tenant", "name")}


def _row_of(shadow: Shadow) -> dict[str, Any]:
    return {
        "tenant": shadow.tenant,
        "name": shadow.name,
        "version": shadow.version,
        "live": shadow.live,
        "share": shadow.share,
        "collection": shadow.collection,
        "keep_queries": shadow.keep_queries,
        "started_at": shadow.started_at.isoformat(),
    }


def _shadow(row: sql.Row[Any]) -> Shadow:
    return Shadow(
        tenant=TenantName(row.tenant),
        name=row.name,
        version=row.version,
        live=row.live,
        share=row.share,
        collection=row.collection,
        keep_queries=row.keep_queries,
        started_at=datetime.fromisoformat(row.started_at),
    )


def _row_of_comparison(comparison: Comparison) -> dict[str, Any]:
    pair, agreement = comparison.pair, comparison.agreement
    return {
        "tenant": comparison.tenant,
        "name": comparison.name,
        "live": pair.live,
        "shadow": pair.shadow,
        "text_sha256": pair.text_sha256,
        "collection": comparison.collection,
        "at": comparison.at.isoformat(),
        "query_sha256": comparison.query_sha256,
        "query": None if comparison.query is None else json.dumps(comparison.query),
        "candidates": comparison.candidates,
        "orders": json.dumps([_places(comparison.live_order), _places(comparison.shadow_order)]),
        "overlap": agreement.overlap,
        "tau": agreement.tau,
        "rbo": agreement.rbo,
        "top_changed": agreement.top_changed,
    }


def _places(order: Iterable[Place]) -> list[tuple[str, int]]:
    return [(each.document_id, each.ordinal) for each in order]


def _comparison(row: sql.Row[Any]) -> Comparison:
    live, shadow = (
        tuple(Place(document_id=document_id, ordinal=ordinal) for document_id, ordinal in order)
        for order in json.loads(row.orders)
    )
    return Comparison(
        tenant=TenantName(row.tenant),
        name=row.name,
        pair=_pair(row),
        collection=row.collection,
        at=datetime.fromisoformat(row.at),
        query_sha256=row.query_sha256,
        query=None if row.query is None else json.loads(row.query),
        candidates=row.candidates,
        live_order=live,
        shadow_order=shadow,
        agreement=_agreement(row),
    )


def _pair(row: sql.Row[Any]) -> VersionPair:
    return VersionPair(live=row.live, shadow=row.shadow, text_sha256=row.text_sha256)


def _agreement(row: sql.Row[Any]) -> Agreement:
    return Agreement(overlap=row.overlap, tau=row.tau, rbo=row.rbo, top_changed=row.top_changed)
