"""Due times of golden sets: nothing is due twice, nothing is left out but what was missed together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.retrieval.catalog.stability_schedules import (
    DAY,
    EVERY_MAX,
    EVERY_MIN,
    Schedule,
    duration,
    duration_text,
)
from winnow.retrieval.errors import InvalidRequest

BEGIN = datetime(2026, 2, 27, 10, 30, 0, 5, tzinfo=UTC)
times = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
intervals = st.timedeltas(EVERY_MIN, EVERY_MAX).map(lambda each: timedelta(seconds=int(each.total_seconds())))
schedules = st.one_of(
    st.builds(lambda since, every: Schedule(since=since, every=every), times, intervals),
    st.builds(lambda since, hour: Schedule(since=since, daily_hour=hour), times, st.integers(0, 23)),
)


def period(schedule: Schedule) -> timedelta:
    return schedule.every or DAY


def is_due_time(schedule: Schedule, at: datetime) -> bool:
    """The definition, without arithmetic."""
    if schedule.every is not None:
        return at > schedule.since and (at - schedule.since) % schedule.every == timedelta()
    return at > schedule.since and at == at.replace(hour=schedule.daily_hour or 0, minute=0, second=0, microsecond=0)


@given(schedules, st.timedeltas(timedelta(), timedelta(days=900)))
def test_the_last_due_time_is_due_until_it_is_replayed(schedule: Schedule, later: timedelta) -> None:
    """Whatever passed before it is not due any more; after the replay nothing is, until the next due time."""
    now = schedule.since + later
    due, following = schedule.due(now), schedule.following(now)
    assert is_due_time(schedule, following)
    assert now < following <= max(now, schedule.since) + period(schedule)
    if due is None:
        assert following - period(schedule) <= schedule.since
        return
    assert is_due_time(schedule, due)
    assert now - period(schedule) < due <= now
    done = replace(schedule, replayed=due)
    assert done.due(now) is None
    assert done.due(following - timedelta(microseconds=1)) is None
    assert done.due(following) == following
    assert done.next_at(now) == following
    assert schedule.next_at(now) == due


@given(schedules, st.lists(st.timedeltas(timedelta(), timedelta(days=3)), max_size=30))
def test_looking_at_any_times_replays_each_due_time_once(schedule: Schedule, pauses: list[timedelta]) -> None:
    """A loop that looks now and then, and replays what is due."""
    now, replayed = schedule.since, list[datetime]()
    for pause in pauses:
        now += pause
        if (due := schedule.due(now)) is not None:
            replayed.append(due)
            schedule = replace(schedule, replayed=due)
    assert replayed == sorted(set(replayed))
    assert len(replayed) <= len(pauses)
    if schedule.following(schedule.since) <= now:
        assert replayed, "something was due, and not replayed"
        assert replayed[-1] + period(schedule) > now


@given(schedules, st.timedeltas(timedelta(seconds=-5), timedelta(seconds=-1, microseconds=1)))
def test_a_clock_that_steps_back_a_little_repeats_nothing(schedule: Schedule, back: timedelta) -> None:
    """As when it is set by a time server."""
    due = schedule.following(schedule.since)
    done = replace(schedule, replayed=due)
    assert done.due(due + back) is None


@given(schedules)
def test_a_clock_that_was_far_ahead_does_not_stop_the_schedule(schedule: Schedule) -> None:
    """A replay was stored for a time years ahead; the next due time is due all the same."""
    ahead = replace(schedule, replayed=schedule.following(schedule.since + timedelta(days=5_000)))
    due = schedule.following(schedule.since)
    assert ahead.due(due) == due


def test_examples() -> None:
    """An interval counts from when it was set; a daily hour is in UTC."""
    six_hours = Schedule(every=timedelta(hours=6), since=BEGIN)
    assert six_hours.due(BEGIN + timedelta(hours=5, minutes=59)) is None
    assert six_hours.due(BEGIN + timedelta(hours=20)) == BEGIN + timedelta(hours=18)
    night = Schedule(daily_hour=3, since=BEGIN)
    assert night.due(datetime(2026, 2, 28, 2, 59, 59, tzinfo=UTC)) is None
    assert night.due(datetime(2026, 3, 2, 14, tzinfo=UTC)) == datetime(2026, 3, 2, 3, tzinfo=UTC)
    assert night.next_at(BEGIN) == datetime(2026, 2, 28, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"every": timedelta(hours=1), "daily_hour": 3},
        {"every": timedelta(seconds=1)},
        {"every": timedelta(days=367)},
        {"daily_hour": 24},
        {"daily_hour": -1},
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(fields: dict[str, object]) -> None:
    """Before it is stored."""
    with pytest.raises(InvalidRequest):
        Schedule(since=BEGIN, **fields)  # type: ignore[arg-type]


@given(intervals)
def test_a_duration_is_read_as_it_is_written(every: timedelta) -> None:
    """In the largest unit that it has a whole number of."""
    assert duration(duration_text(every)) == every


@pytest.mark.parametrize("text", ["", "6", "h", "6 h", "-1h", "1.5h", "6H", "999999999d", "1e3s", "６h h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """With an example of one."""
    with pytest.raises(InvalidRequest):
        duration(text)
