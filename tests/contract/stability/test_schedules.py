"""Schedules and the lease of replays, over both databases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.stability.test_book import ANSWERED, MINE, NOW, ONE, OTHER, OTHERS, STATE, STRANGE, golden, run
from winnow.retrieval.catalog.sql.audit import SqlAuditLog
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.scheduling.schedules import SqlSchedules
from winnow.retrieval.catalog.sql.stability import SqlStabilityBook
from winnow.retrieval.catalog.stability import GoldenQuery, Trigger
from winnow.retrieval.catalog.stability_schedules import Claim, LeaseLost, Schedule
from winnow.retrieval.errors import GoldenSetNotFound, InvalidRequest
from winnow.retrieval.tenancy import COMMAND_LINE

HOUR = timedelta(hours=1)
LEASE = 60.0


class Clock:
    """The time that the test sets."""

    now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def schedules(database: SqlDatabase, clock: Clock) -> SqlSchedules:
    return SqlSchedules(database, clock=clock)


@pytest.fixture
def book(database: SqlDatabase) -> SqlStabilityBook:
    made = SqlStabilityBook(database)
    made.add(golden(), [GoldenQuery(query="b")], by=COMMAND_LINE)
    return made


def test_a_schedule_is_kept_and_removed(schedules: SqlSchedules, book: SqlStabilityBook, database: SqlDatabase) -> None:
    """Of the tenant's own set only, with an entry in the audit log."""
    found = schedules.set_schedule(ONE, "everyday", every=6 * HOUR, daily_hour=None, by=COMMAND_LINE)
    assert found.schedule == Schedule(every=6 * HOUR, since=NOW)
    assert book.golden_set(ONE, "everyday") == found
    daily = schedules.set_schedule(ONE, "everyday", every=None, daily_hour=3, by=COMMAND_LINE)
    assert daily.schedule == Schedule(daily_hour=3, since=NOW)
    with pytest.raises(GoldenSetNotFound):
        schedules.set_schedule(OTHER, "everyday", every=HOUR, daily_hour=None, by=COMMAND_LINE)
    with pytest.raises(InvalidRequest):
        schedules.set_schedule(ONE, "everyday", every=None, daily_hour=None, by=COMMAND_LINE)
    assert schedules.remove_schedule(ONE, "everyday", by=COMMAND_LINE).schedule is None
    last, *_ = SqlAuditLog(database).entries(tenant=ONE, limit=1)
    assert (last.action, last.subject, last.after) == ("golden-set.schedule", "everyday", None)
    assert last.before == {"every_seconds": None, "daily_hour": 3}


def test_more_queries_keep_the_schedule(schedules: SqlSchedules, book: SqlStabilityBook) -> None:
    """They are added to the same set."""
    schedules.set_schedule(ONE, "everyday", every=HOUR, daily_hour=None, by=COMMAND_LINE)
    assert book.add(golden(), [GoldenQuery(query="c")], by=COMMAND_LINE).schedule == Schedule(every=HOUR, since=NOW)


def test_the_clock_is_the_databases(database: SqlDatabase, book: SqlStabilityBook) -> None:
    """It goes on within a transaction, which may have waited for its turn."""
    schedules = SqlSchedules(database)
    before = datetime.now(UTC)
    found = schedules.set_schedule(book.sets(ONE)[0].tenant, "everyday", every=HOUR, daily_hour=None, by=COMMAND_LINE)
    assert found.schedule is not None
    assert before - timedelta(seconds=1) < found.schedule.since <= datetime.now(UTC) + timedelta(seconds=1)
    with database.writing() as connection:
        assert database.now(connection) < database.now(connection)


def test_one_token_holds_the_lease(schedules: SqlSchedules, clock: Clock) -> None:
    """Until it expires or is returned; its holder renews it."""
    assert schedules.hold("a", seconds=LEASE)
    assert not schedules.hold("b", seconds=LEASE)
    clock.now += timedelta(seconds=59)
    assert schedules.hold("a", seconds=LEASE)
    clock.now += timedelta(seconds=59)
    assert not schedules.hold("b", seconds=LEASE)
    clock.now += timedelta(seconds=1)
    assert schedules.hold("b", seconds=LEASE)
    assert not schedules.hold("a", seconds=LEASE)
    schedules.release("a")
    assert not schedules.hold("a", seconds=LEASE)
    schedules.release("b")
    assert schedules.hold("a", seconds=LEASE)


def test_a_lease_of_a_clock_that_was_wrong_does_not_last(schedules: SqlSchedules, clock: Clock) -> None:
    """It was years ahead when the lease was taken."""
    clock.now += timedelta(days=3_000)
    assert schedules.hold("a", seconds=LEASE)
    clock.now = NOW
    assert schedules.hold("b", seconds=LEASE)


def test_of_many_at_once_one_gets_the_lease(schedules: SqlSchedules) -> None:
    """All find it free, and one takes it."""
    gate = threading.Barrier(8)

    def take(number: int) -> bool:
        gate.wait()
        return schedules.hold(str(number), seconds=LEASE)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(8))) == 1


def test_a_run_is_stored_with_its_due_time_or_not_at_all(
    schedules: SqlSchedules, book: SqlStabilityBook, clock: Clock
) -> None:
    """A process that lost the lease meanwhile changes nothing."""
    schedules.set_schedule(ONE, "everyday", every=HOUR, daily_hour=None, by=COMMAND_LINE)
    clock.now += HOUR
    now, (watched,) = schedules.watched()
    golden_set, due = watched.golden, NOW + HOUR
    assert golden_set.schedule is not None
    assert (now, golden_set.schedule.due(now)) == (due, due)
    made = run(trigger=Trigger.SCHEDULE)
    assert schedules.hold(MINE, seconds=LEASE)
    for claim in (Claim(token=OTHERS, due=due), Claim(token="", due=due)):
        with pytest.raises(LeaseLost):
            book.write_run(made, {STRANGE: ANSWERED}, becomes_baseline=True, claim=claim)
    assert book.runs(ONE, limit=9) == []
    assert book.golden_set(ONE, "everyday") == golden_set
    stored = book.write_run(made, {STRANGE: ANSWERED}, becomes_baseline=True, claim=Claim(token=MINE, due=due))
    (found,) = book.runs(ONE, limit=9)
    assert (found.number, found.trigger) == (stored.number, Trigger.SCHEDULE)
    schedule = book.golden_set(ONE, "everyday").schedule
    assert schedule is not None
    assert schedule.due(clock.now) is None


def test_sets_are_watched_with_their_last_run(schedules: SqlSchedules, book: SqlStabilityBook) -> None:
    """By a service if there is one: commands may run on other devices."""
    _, (never,) = schedules.watched()
    assert (never.golden, never.last_at, never.last_state) == (book.golden_set(ONE, "everyday"), None, None)
    elsewhere = replace(STATE, runtime="elsewhere")
    book.write_run(run(state=elsewhere, trigger=Trigger.COMMAND), {}, becomes_baseline=True)
    assert schedules.watched()[1][0].last_state == elsewhere
    book.write_run(run(trigger=Trigger.REQUEST), {}, becomes_baseline=False)
    book.write_run(run(state=elsewhere, trigger=Trigger.COMMAND), {}, becomes_baseline=False)
    book.add(golden(OTHER), [GoldenQuery(query="b")], by=COMMAND_LINE)
    watched = {each.golden.tenant: each.last_state for each in schedules.watched()[1]}
    assert watched == {ONE: STATE, OTHER: None}
