"""Thresholds of tenants and collections, and the breaches of runs, in SQL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sql

from winnow.retrieval.catalog.sql.alerts.tables import BREACHES, OF_TENANT, THRESHOLDS
from winnow.retrieval.catalog.sql.audit import Change, record
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.stability import Breach, GuardedMeasure, Run
from winnow.retrieval.catalog.stability_alerts import Thresholds, breach_facts, breaches_of
from winnow.retrieval.records import JsonValue
from winnow.retrieval.tenancy import WATCH, Actor, TenantName


class SqlThresholds:
    """The thresholds of all tenants. Changes are on the disk when a call returns, and in the audit log.

    Its calls also raise what `SqlDatabase` raises.
    """

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def put(self, thresholds: Thresholds, *, by: Actor) -> None:
        """Set the thresholds of a tenant or collection, in place of those it has."""
        with self._database.writing() as connection:
            before = _find(connection, thresholds.tenant, thresholds.collection)
            connection.execute(sql.delete(THRESHOLDS).where(_of(thresholds.tenant, thresholds.collection)))
            connection.execute(
                sql.insert(THRESHOLDS).values(
                    tenant=thresholds.tenant,
                    collection=thresholds.collection or OF_TENANT,
                    limits=json.dumps({measure.value: limit for measure, limit in thresholds.limits.items()}),
                    queries_min=thresholds.queries_min,
                )
            )
            record(
                connection,
                Change(
                    actor=by,
                    action="thresholds.set",
                    tenant=thresholds.tenant,
                    subject=thresholds.collection or "all collections",
                    before=None if before is None else _said(before),
                    after=_said(thresholds),
                ),
            )

    def remove(self, tenant: TenantName, collection: str | None, *, by: Actor) -> None:
        """Remove the thresholds of a tenant or collection; does nothing if it has none."""
        with self._database.writing() as connection:
            before = _find(connection, tenant, collection)
            if before is None:
                return
            connection.execute(sql.delete(THRESHOLDS).where(_of(tenant, collection)))
            subject = collection or "all collections"
            record(
                connection,
                Change(actor=by, action="thresholds.remove", tenant=tenant, subject=subject, before=_said(before)),
            )

    def of_tenant(self, tenant: TenantName) -> Sequence[Thresholds]:
        """Return the tenant's own first, then those of its collections, by name."""
        wanted = sql.select(THRESHOLDS).where(THRESHOLDS.c.tenant == tenant).order_by(THRESHOLDS.c.collection)
        with self._database.reading() as connection:
            return [_thresholds(tenant, row) for row in connection.execute(wanted)]


def note_breaches(connection: sql.Connection, run: Run) -> tuple[Breach, ...]:
    """Compare a run with the thresholds, and store and audit its breaches, in the transaction that stores the run."""
    if run.measures is None:
        return ()
    thresholds = _find(connection, run.tenant, run.collection) or _find(connection, run.tenant, None)
    if thresholds is None:
        return ()
    found = tuple(breaches_of(thresholds, run.measures))
    for breach in found:
        connection.execute(
            sql.insert(BREACHES).values(
                run=run.number, measure=breach.measure.value, value=breach.value, bound=breach.limit
            )
        )
        record(
            connection,
            Change(
                actor=WATCH,
                action="stability.breach",
                tenant=run.tenant,
                subject=run.golden,
                after=breach_facts(run, breach),
            ),
        )
    return found


def breaches_by_run(connection: sql.Connection, runs: Iterable[int]) -> Mapping[int, tuple[Breach, ...]]:
    """Return the breaches of those of these runs that have some."""
    found: dict[int, dict[GuardedMeasure, Breach]] = {}
    for row in connection.execute(sql.select(BREACHES).where(BREACHES.c.run.in_(list(runs)))):
        measure = GuardedMeasure(row.measure)
        found.setdefault(row.run, {})[measure] = Breach(measure=measure, value=row.value, limit=row.bound)
    return {run: tuple(each[measure] for measure in GuardedMeasure if measure in each) for run, each in found.items()}


def _of(tenant: TenantName, collection: str | None) -> sql.ColumnElement[bool]:
    return sql.and_(THRESHOLDS.c.tenant == tenant, THRESHOLDS.c.collection == (collection or OF_TENANT))


def _find(connection: sql.Connection, tenant: TenantName, collection: str | None) -> Thresholds | None:
    row = connection.execute(sql.select(THRESHOLDS).where(_of(tenant, collection))).first()
    return None if row is None else _thresholds(tenant, row)


def _thresholds(tenant: TenantName, row: sql.Row[Any]) -> Thresholds:
    limits: dict[str, float] = json.loads(row.limits)
    return Thresholds(
        tenant=tenant,
        collection=row.collection or None,
        limits={GuardedMeasure(measure): limit for measure, limit in limits.items()},
        queries_min=row.queries_min,
    )


def _said(thresholds: Thresholds) -> dict[str, JsonValue]:
    return {"queries_min": thresholds.queries_min, **{key.value: limit for key, limit in thresholds.limits.items()}}
