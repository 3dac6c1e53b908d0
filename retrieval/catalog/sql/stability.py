"""Golden sets and their runs, in SQL."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sql

from winnow.retrieval.catalog.sql.alerts.outbox import enqueue
from winnow.retrieval.catalog.sql.alerts.tables import forget_runs
from winnow.retrieval.catalog.sql.alerts.thresholds import breaches_by_run, note_breaches
from winnow.retrieval.catalog.sql.audit import Change, record
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.stability_tables import (
    ANSWERS,
    QUERIES,
    RUNS,
    SETS,
    accept_claim,
    answer_row,
    answered_of,
    causes_json,
    causes_of,
    measures_json,
    measures_of,
    state_json,
    state_of,
)
from winnow.retrieval.catalog.stability import (
    RUNS_PER_SET_MAX,
    Answered,
    Breach,
    Factor,
    GoldenQuery,
    GoldenSet,
    Run,
    Trigger,
)
from winnow.retrieval.catalog.stability_schedules import Claim, Schedule
from winnow.retrieval.errors import GoldenSetNotFound, InvalidRequest, LimitExceeded, RunNotFound
from winnow.retrieval.limits import GOLDEN_QUERIES_MAX, GOLDEN_SETS_MAX
from winnow.retrieval.records import JsonValue, RecallMode
from winnow.retrieval.tenancy import Actor, TenantName


class SqlStabilityBook:
    """Golden sets and runs of all tenants. Changes are on the disk when a call returns.

    Every name and number is looked up within a tenant. Its calls also raise what `SqlDatabase` raises.
    """

    def __init__(self, database: SqlDatabase, *, runs_max: int = RUNS_PER_SET_MAX) -> None:
        self._database = database
        self._runs_max = runs_max

    def add(self, golden: GoldenSet, queries: Sequence[GoldenQuery], *, by: Actor) -> GoldenSet:
        """Add queries to a set, which is created if there is none. A query that it already has gets the judgments.

        Raises `InvalidRequest` if the set belongs to another collection, `LimitExceeded` beyond the limits.
        """
        with self._database.writing() as connection:
            known = _find(connection, golden.tenant, golden.name)
            if known is not None and known.collection != golden.collection:
                raise InvalidRequest(f"the golden set {golden.name} belongs to the collection {known.collection}")
            if known is None:
                _require_room(connection, golden.tenant)
                connection.execute(sql.insert(SETS).values(_row_of(golden)))
            _put_queries(connection, golden, queries)
            found = _find(connection, golden.tenant, golden.name)
            assert found is not None, "it was just written. This is a bug."
            after: dict[str, JsonValue] = {"collection": found.collection, "queries": found.queries}
            record(
                connection,
                Change(actor=by, action="golden-set.add", tenant=golden.tenant, subject=golden.name, after=after),
            )
            return found

    def remove(self, tenant: TenantName, name: str, *, by: Actor) -> None:
        """Remove a set with its runs. Raises `GoldenSetNotFound`."""
        with self._database.writing() as connection:
            found = require_set(connection, tenant, name)
            of_set = sql.and_(RUNS.c.tenant == tenant, RUNS.c.set_name == name)
            _delete_runs(connection, of_set)
            connection.execute(sql.delete(QUERIES).where(QUERIES.c.tenant == tenant, QUERIES.c.set_name == name))
            connection.execute(sql.delete(SETS).where(SETS.c.tenant == tenant, SETS.c.name == name))
            before: dict[str, JsonValue] = {"collection": found.collection, "queries": found.queries}
            record(
                connection,
                Change(actor=by, action="golden-set.remove", tenant=tenant, subject=name, before=before),
            )

    def sets(self, tenant: TenantName, *, collection: str | None = None) -> Sequence[GoldenSet]:
        """Return the tenant's sets, by name."""
        wanted = sets_with_counts().where(SETS.c.tenant == tenant).order_by(SETS.c.name)
        if collection is not None:
            wanted = wanted.where(SETS.c.collection == collection)
        with self._database.reading() as connection:
            return [golden_set_of(row) for row in connection.execute(wanted)]

    def golden_set(self, tenant: TenantName, name: str) -> GoldenSet:
        """Raises `GoldenSetNotFound`."""
        with self._database.reading() as connection:
            return require_set(connection, tenant, name)

    def queries(self, tenant: TenantName, name: str) -> Sequence[GoldenQuery]:
        """Return the queries of a set, in the order they were added."""
        wanted = sql.select(QUERIES).where(QUERIES.c.tenant == tenant, QUERIES.c.set_name == name)
        with self._database.reading() as connection:
            return [
                GoldenQuery(
                    query=json.loads(row.query), judgments=None if row.judgments is None else json.loads(row.judgments)
                )
                for row in connection.execute(wanted.order_by(QUERIES.c.position))
            ]

    def write_run(
        self, run: Run, answers: Mapping[str, Answered], *, becomes_baseline: bool, claim: Claim | None = None
    ) -> Run:
        """Store a run with these answers by query, and return it with its number and its breaches of thresholds.

        A run that becomes the baseline was accepted as it is, and breaches nothing. Beyond `RUNS_PER_SET_MAX` the
        oldest are deleted, except the baseline. Raises `GoldenSetNotFound` if the set was removed meanwhile, and
        `LeaseLost` if another process holds the lease of the `claim`.
        """
        with self._database.writing() as connection:
            found = require_set(connection, run.tenant, run.golden)
            if claim is not None:
                accept_claim(connection, run.tenant, run.golden, claim)
            inserted = connection.execute(sql.insert(RUNS).values(_row_of_run(run)).returning(RUNS.c.number))
            number = int(inserted.scalar_one())
            rows = [answer_row(number, query, answered) for query, answered in answers.items()]
            if rows:
                connection.execute(sql.insert(ANSWERS), rows)
            if becomes_baseline:
                of_set = sql.and_(SETS.c.tenant == run.tenant, SETS.c.name == run.golden)
                connection.execute(sql.update(SETS).where(of_set).values(baseline=number))
            baseline = number if becomes_baseline else found.baseline
            self._trim(connection, run, baseline)
            stored = replace(run, number=number, is_baseline=becomes_baseline)
            if becomes_baseline:
                return stored
            stored = replace(stored, breaches=note_breaches(connection, stored))
            enqueue(connection, stored)
            return stored

    def runs(
        self, tenant: TenantName, *, golden: str | None = None, collection: str | None = None, limit: int
    ) -> Sequence[Run]:
        """Return the newest runs, newest first."""
        wanted = sql.select(RUNS).where(RUNS.c.tenant == tenant).order_by(RUNS.c.number.desc()).limit(limit)
        if golden is not None:
            wanted = wanted.where(RUNS.c.set_name == golden)
        if collection is not None:
            wanted = wanted.where(RUNS.c.collection == collection)
        with self._database.reading() as connection:
            return _runs(connection, tenant, connection.execute(wanted).all())

    def run(self, tenant: TenantName, number: int) -> Run:
        """Raises `RunNotFound`."""
        with self._database.reading() as connection:
            wanted = sql.select(RUNS).where(RUNS.c.tenant == tenant, RUNS.c.number == number)
            found = _runs(connection, tenant, connection.execute(wanted).all())
        if not found:
            raise RunNotFound(str(number))
        return found[0]

    def answers_of(self, tenant: TenantName, number: int) -> Mapping[str, Answered]:
        """Like `answers`; empty if the tenant has no such run any more."""
        try:
            return self.answers(self.run(tenant, number))
        except RunNotFound:
            return {}

    def answers(self, run: Run) -> Mapping[str, Answered]:
        """Return the stored answers of a run by query: all of a baseline, of other runs those that moved."""
        wanted = sql.select(ANSWERS).where(ANSWERS.c.run == run.number)
        with self._database.reading() as connection:
            return {json.loads(row.query): answered_of(row) for row in connection.execute(wanted)}

    def _trim(self, connection: sql.Connection, run: Run, baseline: int | None) -> None:
        of_set = sql.and_(RUNS.c.tenant == run.tenant, RUNS.c.set_name == run.golden)
        newest = sql.select(RUNS.c.number).where(of_set).order_by(RUNS.c.number.desc())
        last = connection.scalar(newest.offset(self._runs_max).limit(1))
        if last is None:
            return
        old = sql.and_(of_set, RUNS.c.number <= last, RUNS.c.number != (baseline or 0))
        _delete_runs(connection, old)


def _delete_runs(connection: sql.Connection, which: sql.ColumnElement[bool]) -> None:
    numbers = sql.select(RUNS.c.number).where(which)
    connection.execute(sql.delete(ANSWERS).where(ANSWERS.c.run.in_(numbers)))
    forget_runs(connection, numbers)
    connection.execute(sql.delete(RUNS).where(which))


def query_sha256(query: str) -> str:
    return hashlib.sha256(query.encode("utf-8", "surrogatepass")).hexdigest()


def _put_queries(connection: sql.Connection, golden: GoldenSet, queries: Sequence[GoldenQuery]) -> None:
    of_set = sql.and_(QUERIES.c.tenant == golden.tenant, QUERIES.c.set_name == golden.name)
    known = set(connection.scalars(sql.select(QUERIES.c.query_sha256).where(of_set)))
    last = connection.scalar(sql.select(sql.func.max(QUERIES.c.position)).where(of_set)) or 0
    for query in {each.query: each for each in queries}.values():
        digest = query_sha256(query.query)
        judgments = None if query.judgments is None else json.dumps(dict(query.judgments))
        if digest in known:
            where = sql.and_(of_set, QUERIES.c.query_sha256 == digest)
            connection.execute(sql.update(QUERIES).where(where).values(judgments=judgments))
            continue
        last += 1
        known.add(digest)
        row = {
            "tenant": golden.tenant,
            "set_name": golden.name,
            "query_sha256": digest,
            "position": last,
            "query": json.dumps(query.query),
            "judgments": judgments,
        }
        connection.execute(sql.insert(QUERIES).values(row))
    if len(known) > GOLDEN_QUERIES_MAX:
        raise LimitExceeded(f"{len(known)} queries; a golden set has at most {GOLDEN_QUERIES_MAX}")


def _require_room(connection: sql.Connection, tenant: TenantName) -> None:
    count = connection.scalar(sql.select(sql.func.count()).select_from(SETS).where(SETS.c.tenant == tenant)) or 0
    if count >= GOLDEN_SETS_MAX:
        raise LimitExceeded(f"the tenant has {count} golden sets, the maximum; remove one first")


def sets_with_counts() -> sql.Select[Any]:
    of_set = sql.and_(QUERIES.c.tenant == SETS.c.tenant, QUERIES.c.set_name == SETS.c.name)
    queries = sql.select(sql.func.count()).where(of_set).scalar_subquery()
    judged = sql.select(sql.func.count(QUERIES.c.judgments)).where(of_set).scalar_subquery()
    return sql.select(SETS, queries.label("queries"), judged.label("judged"))


def _find(connection: sql.Connection, tenant: TenantName, name: str) -> GoldenSet | None:
    row = connection.execute(sets_with_counts().where(SETS.c.tenant == tenant, SETS.c.name == name)).first()
    return None if row is None else golden_set_of(row)


def require_set(connection: sql.Connection, tenant: TenantName, name: str) -> GoldenSet:
    found = _find(connection, tenant, name)
    if found is None:
        raise GoldenSetNotFound(name[:80])
    return found


def _baselines(connection: sql.Connection, tenant: TenantName) -> frozenset[int]:
    wanted = sql.select(SETS.c.baseline).where(SETS.c.tenant == tenant, SETS.c.baseline.is_not(None))
    return frozenset(connection.scalars(wanted))


def _row_of(golden: GoldenSet) -> dict[str, Any]:
    return {
        "tenant": golden.tenant,
        "name": golden.name,
        "collection": golden.collection,
        "created_at": golden.created_at.isoformat(),
        "candidates": golden.candidates,
        "recall": golden.recall,
        "instruction": golden.instruction,
        "baseline": golden.baseline,
        **schedule_row(golden.schedule),
    }


def schedule_row(schedule: Schedule | None) -> dict[str, Any]:
    """The columns of a schedule; all empty if there is none."""
    if schedule is None:
        return dict.fromkeys(("every_seconds", "daily_hour", "scheduled_at", "replayed_due"))
    every, replayed = schedule.every, schedule.replayed
    return {
        "every_seconds": None if every is None else int(every.total_seconds()),
        "daily_hour": schedule.daily_hour,
        "scheduled_at": schedule.since.isoformat(),
        "replayed_due": None if replayed is None else replayed.isoformat(),
    }


def _schedule(row: sql.Row[Any]) -> Schedule | None:
    if row.scheduled_at is None:
        return None
    return Schedule(
        every=None if row.every_seconds is None else timedelta(seconds=row.every_seconds),
        daily_hour=row.daily_hour,
        since=datetime.fromisoformat(row.scheduled_at),
        replayed=None if row.replayed_due is None else datetime.fromisoformat(row.replayed_due),
    )


def golden_set_of(row: sql.Row[Any]) -> GoldenSet:
    return GoldenSet(
        tenant=TenantName(row.tenant),
        name=row.name,
        collection=row.collection,
        created_at=datetime.fromisoformat(row.created_at),
        candidates=row.candidates,
        recall=None if row.recall is None else RecallMode(row.recall),
        instruction=row.instruction,
        baseline=row.baseline,
        schedule=_schedule(row),
        queries=row.queries,
        judged=row.judged,
    )


def _row_of_run(run: Run) -> dict[str, Any]:
    return {
        "tenant": run.tenant,
        "set_name": run.golden,
        "collection": run.collection,
        "at": run.at.isoformat(),
        "state": state_json(run.state),
        "baseline": run.baseline,
        "measures": measures_json(run.measures),
        "changed": json.dumps(run.changed),
        "causes": causes_json(run.causes),
        "trigger": run.trigger,
    }


def _runs(connection: sql.Connection, tenant: TenantName, rows: Sequence[sql.Row[Any]]) -> list[Run]:
    baselines, breaches = _baselines(connection, tenant), breaches_by_run(connection, (row.number for row in rows))
    return [_run(row, baselines, breaches.get(row.number, ())) for row in rows]


def _run(row: sql.Row[Any], baselines: frozenset[int], breaches: tuple[Breach, ...]) -> Run:
    return Run(
        number=row.number,
        tenant=TenantName(row.tenant),
        golden=row.set_name,
        collection=row.collection,
        at=datetime.fromisoformat(row.at),
        state=state_of(row.state),
        baseline=row.baseline,
        is_baseline=row.number in baselines,
        measures=measures_of(row.measures),
        changed=tuple(Factor(each) for each in json.loads(row.changed)),
        causes=causes_of(row.causes),
        breaches=breaches,
        trigger=Trigger(row.trigger),
    )
