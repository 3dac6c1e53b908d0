"""When a golden set is due to be replayed, and which process may do it. Pure: the time is an argument.

All times are in UTC. A due time counts as replayed once a run was stored for it. However many due times passed while no
service ran, only the last of them is still due.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from winnow.retrieval.errors import InvalidRequest

EVERY_MIN: Final = timedelta(seconds=10)
EVERY_MAX: Final = timedelta(days=366)
HOURS: Final = 24
DAY: Final = timedelta(days=1)
LEASE_MAX: Final = timedelta(hours=1)  # one that ends later was taken while the clock was wrong
_DURATION: Final = re.compile(r"(\d{1,9})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Due times of a golden set: `since` plus multiples of `every`, or each day at an hour. Exactly one is set."""

    every: timedelta | None = None
    daily_hour: int | None = None  # UTC, 0 to 23
    since: datetime  # when it was set; due times come after it
    replayed: datetime | None = None  # the last due time for which a run was stored

    def __post_init__(self) -> None:
        """Raises `InvalidRequest`."""
        if (self.every is None) == (self.daily_hour is None):
            raise InvalidRequest("a schedule needs either an interval or an hour of the day, not both")
        if self.every is not None and not EVERY_MIN <= self.every <= EVERY_MAX:
            raise InvalidRequest(f"an interval lasts from {EVERY_MIN.seconds} seconds to {EVERY_MAX.days} days")
        if self.daily_hour is not None and not 0 <= self.daily_hour < HOURS:
            raise InvalidRequest(f"an hour of the day is between 0 and {HOURS - 1}")

    def due(self, now: datetime) -> datetime | None:
        """Return the last due time, unless it was replayed or there was none yet."""
        last = self._last(now)
        if last <= self.since:
            return None
        is_ahead = self.replayed is not None and self.replayed > self.following(now)  # by a clock that was wrong
        return last if self.replayed is None or self.replayed < last or is_ahead else None

    def following(self, now: datetime) -> datetime:
        """Return the first due time after now."""
        return self._last(max(now, self.since)) + (self.every or DAY)

    def next_at(self, now: datetime) -> datetime:
        """Return when the next replay is due; it is in the past if that replay is overdue."""
        return self.due(now) or self.following(now)

    def _last(self, now: datetime) -> datetime:
        """The last due time until now; one that is not after `since` does not count."""
        if self.every is not None:
            return self.since + (now - self.since) // self.every * self.every
        assert self.daily_hour is not None, "checked when it was created. This is a bug."
        today = now.replace(hour=self.daily_hour, minute=0, second=0, microsecond=0)
        return today if today <= now else today - DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to store one run: by the lease that this token holds, and for this due time if there is one."""

    token: str
    due: datetime | None = None


class LeaseLost(Exception):
    """Another process holds the lease of replays now, so this run is not stored."""


def duration(text: str) -> timedelta:
    """Read a duration such as 90s, 30m, 6h or 2d. Raises `InvalidRequest`."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise InvalidRequest(f"{text[:20]!r} is no duration; write 90s, 30m, 6h or 2d")
    seconds = timedelta(**{_UNITS[found[2]]: 1}).total_seconds() * int(found[1])
    if seconds > EVERY_MAX.total_seconds():
        raise InvalidRequest(f"an interval lasts at most {EVERY_MAX.days} days")
    return timedelta(seconds=seconds)


def duration_text(every: timedelta) -> str:
    """Write a duration in its largest whole unit."""
    seconds = int(every.total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
