"""Schedules of golden sets, as sent and answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import Field

from winnow.api.fields import Number, Strict
from winnow.api.schemas.response import JsonObject
from winnow.retrieval.catalog.stability_schedules import EVERY_MAX, EVERY_MIN, HOURS, Schedule

_SECONDS_MIN: Final = int(EVERY_MIN.total_seconds())
_SECONDS_MAX: Final = int(EVERY_MAX.total_seconds())


class ScheduleBody(Strict):
    """PUT /v1/stability/golden/{name}/schedule: one of the two."""

    every_seconds: Annotated[int, Field(ge=_SECONDS_MIN, le=_SECONDS_MAX), Number] | None = Field(
        default=None, description="Interval between replays, counted from now."
    )
    daily_hour: Annotated[int, Field(ge=0, lt=HOURS), Number] | None = Field(
        default=None, description="Hour of the day in UTC, from 0 to 23."
    )

    @property
    def every(self) -> timedelta | None:
        return None if self.every_seconds is None else timedelta(seconds=self.every_seconds)


class ScheduleResponse(JsonObject):
    """When the service replays a golden set: at an interval, or daily at an hour."""

    every_seconds: int | None
    daily_hour: Annotated[int | None, Field(description="UTC.")]
    since: datetime
    next_at: Annotated[datetime, Field(description="When the next replay is due; past if it is overdue.")]


def schedule_response(schedule: Schedule) -> ScheduleResponse:
    every = schedule.every
    return {
        "every_seconds": None if every is None else int(every.total_seconds()),
        "daily_hour": schedule.daily_hour,
        "since": schedule.since,
        "next_at": schedule.next_at(datetime.now(UTC)),
    }
