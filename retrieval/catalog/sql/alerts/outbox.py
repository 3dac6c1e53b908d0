"""The outbox: deliveries to webhooks that outlive a process, in SQL.

Rule 1: a delivery is written in the transaction of the run that it tells of: there is never one without the other.
Rule 2: a process claims a delivery before an attempt, for the time of a lease. Another process leaves it alone until
then, and what a process reports after its lease counts only if no other has claimed the delivery since.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sql

from winnow.retrieval.catalog.sql.alerts.tables import DELIVERIES, WEBHOOKS, said
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.stability import Run
from winnow.retrieval.catalog.stability_alerts import (
    DELIVERY_AGE_MAX,
    Delivery,
    DeliveryState,
    event_body,
)
from winnow.retrieval.limits import (
    WEBHOOK_ATTEMPTS_MAX,
    WEBHOOKS_KEPT_DAYS,
    WEBHOOKS_KEPT_MAX,
    WEBHOOKS_WAITING_MAX,
)
from winnow.retrieval.tenancy import TenantName

_TOO_OLD = f"given up after {WEBHOOK_ATTEMPTS_MAX} attempts or {DELIVERY_AGE_MAX.total_seconds() / 3_600:g} hours"
_COLUMNS = DELIVERIES.c
_IS_WAITING = _COLUMNS.state == DeliveryState.WAITING.value


class SqlOutbox:
    """The deliveries of all tenants. Its calls also raise what `SqlDatabase` raises."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def claim(self, *, holder: str, now: datetime, lease: timedelta, limit: int) -> Sequence[Delivery]:
        """Claim due deliveries: of each tenant the one that is due longest, and none while it has another in progress.

        So a slow receiver delays only its own tenant.
        """
        if not self._is_any_due(now):  # most of the time; a writing transaction would hold up others
            return []
        with self._database.writing() as connection:
            return list(_claimed(connection, holder, now, lease, limit))

    def finish(
        self, delivery: Delivery, *, holder: str, now: datetime, problem: str | None, retry_at: datetime | None = None
    ) -> bool:
        """Note how an attempt ended; returns whether it counts.

        Without a problem it was delivered. With one it is attempted again at `retry_at`, or given up without that.
        """
        values: dict[str, Any] = {"holder": None, "leased_until": None, "problem": problem}
        if problem is not None and retry_at is not None:
            values |= {"next_at": said(retry_at)}
        else:
            state = DeliveryState.DELIVERED if problem is None else DeliveryState.UNDELIVERED
            values |= {"state": state.value, "ended_at": said(now)}
        held = sql.and_(_COLUMNS.id == delivery.id, _IS_WAITING, _COLUMNS.holder == holder)
        with self._database.writing() as connection:
            return connection.execute(sql.update(DELIVERIES).where(held).values(values)).rowcount > 0

    def give_up_old(self, now: datetime) -> int:
        """Give up deliveries that waited too long, were attempted too often, or are too many; return their number."""
        if not self.waiting():
            return 0
        free = sql.and_(_IS_WAITING, _is_free(now))
        old = sql.or_(_COLUMNS.created_at < said(now - DELIVERY_AGE_MAX), _COLUMNS.attempts >= WEBHOOK_ATTEMPTS_MAX)
        with self._database.writing() as connection:
            count = _give_up(connection, sql.and_(free, old), _TOO_OLD, now)
            crowded = (
                sql.select(_COLUMNS.tenant)
                .where(_IS_WAITING)
                .group_by(_COLUMNS.tenant)
                .having(sql.func.count() > WEBHOOKS_WAITING_MAX)
            )
            for tenant in connection.scalars(crowded).all():
                oldest = _beyond(tenant, WEBHOOKS_WAITING_MAX, _IS_WAITING)
                count += _give_up(connection, sql.and_(free, _COLUMNS.id.in_(oldest)), "too many waited", now)
            return count

    def forget_old(self, now: datetime) -> None:
        """Delete ended deliveries that are old."""
        ended = sql.and_(~_IS_WAITING, _COLUMNS.created_at < said(now - timedelta(days=WEBHOOKS_KEPT_DAYS)))
        with self._database.writing() as connection:
            connection.execute(sql.delete(DELIVERIES).where(ended))

    def waiting(self) -> int:
        """Return the number of waiting deliveries of all tenants."""
        with self._database.reading() as connection:
            wanted = sql.select(sql.func.count()).select_from(DELIVERIES).where(_IS_WAITING)
            return connection.scalar(wanted) or 0

    def deliveries(self, tenant: TenantName, *, limit: int) -> Sequence[Delivery]:
        """Return the tenant's newest deliveries, newest first."""
        wanted = sql.select(DELIVERIES).where(_COLUMNS.tenant == tenant)
        with self._database.reading() as connection:
            newest = wanted.order_by(_COLUMNS.created_at.desc(), _COLUMNS.id).limit(limit)
            return [_delivery(row) for row in connection.execute(newest)]

    def _is_any_due(self, now: datetime) -> bool:
        with self._database.reading() as connection:
            return connection.execute(sql.select(_COLUMNS.id).where(_is_due(now)).limit(1)).first() is not None


def enqueue(connection: sql.Connection, run: Run) -> None:
    """Write the delivery that tells of a run's breaches, if its tenant has a webhook, in the run's transaction."""
    hooked = sql.select(WEBHOOKS.c.tenant).where(WEBHOOKS.c.tenant == run.tenant)
    if not run.breaches or connection.execute(hooked).first() is None:
        return
    name, now = str(uuid.uuid4()), datetime.now(UTC)
    row = {
        "id": name,
        "tenant": run.tenant,
        "collection": run.collection,
        "run": run.number,
        "created_at": said(now),
        "body": event_body(run, delivery=name, at=now),
        "state": DeliveryState.WAITING.value,
        "attempts": 0,
        "next_at": said(now),
    }
    connection.execute(sql.insert(DELIVERIES).values(row))
    surplus = _beyond(run.tenant, WEBHOOKS_KEPT_MAX)
    connection.execute(sql.delete(DELIVERIES).where(_COLUMNS.id.in_(surplus)))


def give_up_waiting(connection: sql.Connection, tenant: TenantName, *, problem: str, now: datetime) -> None:
    """Give up all waiting deliveries of a tenant, even those that are just attempted."""
    _give_up(connection, sql.and_(_IS_WAITING, _COLUMNS.tenant == tenant), problem, now)


def _claimed(
    connection: sql.Connection, holder: str, now: datetime, lease: timedelta, limit: int
) -> Iterator[Delivery]:
    busy = sql.select(_COLUMNS.tenant).where(_IS_WAITING, ~_is_free(now))
    first = sql.func.min(_COLUMNS.next_at)
    due = sql.select(_COLUMNS.tenant).where(_is_due(now), _COLUMNS.tenant.not_in(busy)).group_by(_COLUMNS.tenant)
    for tenant in connection.scalars(due.order_by(first).limit(limit)).all():
        oldest = sql.select(DELIVERIES).where(_is_due(now), _COLUMNS.tenant == tenant)
        row = connection.execute(oldest.order_by(_COLUMNS.next_at, _COLUMNS.created_at).limit(1)).one()
        values = {"holder": holder, "leased_until": said(now + lease), "attempts": row.attempts + 1}
        connection.execute(sql.update(DELIVERIES).where(_COLUMNS.id == row.id).values(values))
        yield _delivery(connection.execute(sql.select(DELIVERIES).where(_COLUMNS.id == row.id)).one())


def _is_free(now: datetime) -> sql.ColumnElement[bool]:
    return sql.or_(_COLUMNS.leased_until.is_(None), _COLUMNS.leased_until <= said(now))


def _is_due(now: datetime) -> sql.ColumnElement[bool]:
    is_young = sql.and_(_COLUMNS.created_at >= said(now - DELIVERY_AGE_MAX), _COLUMNS.attempts < WEBHOOK_ATTEMPTS_MAX)
    return sql.and_(_IS_WAITING, _COLUMNS.next_at <= said(now), _is_free(now), is_young)


def _beyond(tenant: str, count: int, *which: sql.ColumnElement[bool]) -> sql.Select[tuple[str]]:
    """The ids of the tenant's deliveries but for the newest."""
    wanted = sql.select(_COLUMNS.id).where(_COLUMNS.tenant == tenant, *which)
    newest = wanted.order_by(_COLUMNS.created_at.desc(), _COLUMNS.id).limit(count)
    return wanted.where(_COLUMNS.id.not_in(newest.scalar_subquery()))


def _give_up(connection: sql.Connection, which: sql.ColumnElement[bool], problem: str, now: datetime) -> int:
    values = {"state": DeliveryState.UNDELIVERED.value, "ended_at": said(now), "holder": None, "leased_until": None}
    given = sql.func.coalesce(_COLUMNS.problem + f"; {problem}", problem)
    return connection.execute(sql.update(DELIVERIES).where(which).values(**values, problem=given)).rowcount


def _delivery(row: sql.Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        tenant=TenantName(row.tenant),
        run=row.run,
        created_at=datetime.fromisoformat(row.created_at),
        body=row.body,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        next_at=datetime.fromisoformat(row.next_at),
        ended_at=None if row.ended_at is None else datetime.fromisoformat(row.ended_at),
        problem=row.problem,
    )
