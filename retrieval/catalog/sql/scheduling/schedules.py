"""Schedules of golden sets, and the lease of the process that replays them, in SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sql

from winnow.retrieval.catalog.sql.audit import Change, record
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.stability import golden_set_of, require_set, schedule_row, sets_with_counts
from winnow.retrieval.catalog.sql.stability_tables import LEASE, REPLAYS, RUNS, SETS, state_of
from winnow.retrieval.catalog.stability import GoldenSet, RankingState, Trigger
from winnow.retrieval.catalog.stability_schedules import LEASE_MAX, Schedule
from winnow.retrieval.records import JsonValue
from winnow.retrieval.tenancy import Actor, TenantName


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A golden set, and its last run: by a service if there is one, since a command may run on other devices."""

    golden: GoldenSet
    last_at: datetime | None  # None: it was never run
    last_state: RankingState | None


class SqlSchedules:
    """The schedules of all tenants. Changes are on the disk when a call returns.

    Its calls also raise what `SqlDatabase` raises.
    """

    def __init__(self, database: SqlDatabase, *, clock: Callable[[], datetime] | None = None) -> None:
        """By default the clock is the database's."""
        self._database = database
        self._clock = clock

    def set_schedule(
        self, tenant: TenantName, name: str, *, every: timedelta | None, daily_hour: int | None, by: Actor
    ) -> GoldenSet:
        """Replay the set at these times from now on. Raises `GoldenSetNotFound` and `InvalidRequest`."""
        with self._database.writing() as connection:
            schedule = Schedule(every=every, daily_hour=daily_hour, since=self._now(connection))
            return _put(connection, tenant, name, schedule, by=by)

    def remove_schedule(self, tenant: TenantName, name: str, *, by: Actor) -> GoldenSet:
        """Replay the set only on demand and after changes. Raises `GoldenSetNotFound`."""
        with self._database.writing() as connection:
            return _put(connection, tenant, name, None, by=by)

    def watched(self) -> tuple[datetime, Sequence[Watched]]:
        """Return the time, and every golden set of every tenant."""
        of_set = sql.and_(RUNS.c.tenant == SETS.c.tenant, RUNS.c.set_name == SETS.c.name)
        newest = sql.select(RUNS.c.number).where(of_set).order_by(RUNS.c.number.desc()).limit(1)
        of_service = newest.where(RUNS.c.trigger != Trigger.COMMAND.value)
        number = sql.func.coalesce(of_service.scalar_subquery(), newest.scalar_subquery())
        last = RUNS.alias("last_run")
        wanted = sets_with_counts().add_columns(last.c.at, last.c.state)
        with self._database.reading() as connection:
            rows = connection.execute(wanted.outerjoin_from(SETS, last, last.c.number == number)).all()
            return self._now(connection), [_watched(row) for row in rows]

    def hold(self, token: str, *, seconds: float) -> bool:
        """Take or renew the lease for so long; return whether this token holds it."""
        with self._database.reading() as connection:  # most calls end here, and write nothing
            if self._is_taken(connection, token):
                return False
        with self._database.writing() as connection:
            if self._is_taken(connection, token):
                return False
            until = (self._now(connection) + timedelta(seconds=seconds)).isoformat()
            connection.execute(sql.delete(LEASE).where(LEASE.c.name == REPLAYS))
            connection.execute(sql.insert(LEASE).values(name=REPLAYS, token=token, until=until))
            return True

    def release(self, token: str) -> None:
        """Give the lease back, if this token holds it."""
        with self._database.writing() as connection:
            connection.execute(sql.delete(LEASE).where(LEASE.c.name == REPLAYS, LEASE.c.token == token))

    def _is_taken(self, connection: sql.Connection, token: str) -> bool:
        """Whether another token holds the lease."""
        row = connection.execute(sql.select(LEASE).where(LEASE.c.name == REPLAYS)).first()
        if row is None or row.token == token:
            return False
        left = datetime.fromisoformat(row.until) - self._now(connection)
        return timedelta() < left <= LEASE_MAX

    def _now(self, connection: sql.Connection) -> datetime:
        return self._database.now(connection) if self._clock is None else self._clock()


def _put(
    connection: sql.Connection, tenant: TenantName, name: str, schedule: Schedule | None, *, by: Actor
) -> GoldenSet:
    before = require_set(connection, tenant, name).schedule
    of_set = sql.and_(SETS.c.tenant == tenant, SETS.c.name == name)
    connection.execute(sql.update(SETS).where(of_set).values(schedule_row(schedule)))
    change = Change(
        actor=by,
        action="golden-set.schedule",
        tenant=tenant,
        subject=name,
        before=_said(before),
        after=_said(schedule),
    )
    record(connection, change)
    return require_set(connection, tenant, name)


def _said(schedule: Schedule | None) -> dict[str, JsonValue] | None:
    if schedule is None:
        return None
    every = schedule.every
    return {
        "every_seconds": None if every is None else int(every.total_seconds()),
        "daily_hour": schedule.daily_hour,
    }


def _watched(row: sql.Row[Any]) -> Watched:
    return Watched(
        golden=golden_set_of(row),
        last_at=None if row.at is None else datetime.fromisoformat(row.at),
        last_state=None if row.state is None else state_of(row.state),
    )
