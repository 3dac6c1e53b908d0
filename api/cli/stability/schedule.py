"""`winnow stability schedule`: when a running service replays a golden set itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from winnow.api.cli.options import Json, TenantOption, open_tenant, with_settings
from winnow.api.cli.stability.golden import SetNameArgument
from winnow.api.cli.stability.report import stability
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.settings import Settings
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.retrieval.catalog.stability import GoldenSet, Run
    from winnow.retrieval.catalog.stability_schedules import Schedule

__all__ = ["stability"]  # the group, with these commands in it

schedule = typer.Typer(help="When a running service replays golden sets itself.", no_args_is_help=True)
stability.add_typer(schedule, name="schedule")


@schedule.command("set")
@with_settings("data")
def set_schedule(
    name: SetNameArgument,
    *,
    every: Annotated[
        str | None,
        typer.Option("--every", metavar="DURATION", help="Interval, counted from now: such as 90s, 30m, 6h or 2d."),
    ] = None,
    daily_hour: Annotated[
        int | None, typer.Option("--daily-at", metavar="HOUR", help="Hour of the day in UTC, from 0 to 23.")
    ] = None,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Have a running service replay a golden set at an interval, or daily at an hour (UTC).

    Of several services over one catalog one replays. Due times that pass while none runs make one replay.
    """
    terminal = Terminal(json=json)
    from winnow.api.schemas.stability import golden_set_response
    from winnow.retrieval.catalog.stability_schedules import duration
    from winnow.retrieval.tenancy import COMMAND_LINE

    interval = None if every is None else duration(every)
    folder, owner = open_tenant(settings, tenant)
    found = folder.catalog.schedules.set_schedule(owner, name, every=interval, daily_hour=daily_hour, by=COMMAND_LINE)
    if json:
        terminal.answer(golden_set_response(found))
    elif found.schedule is not None:
        terminal.say(f"{found.name} is replayed {times(found.schedule)}, next {_next_at(found.schedule)} (UTC).")


@schedule.command("show")
@with_settings("data")
def show_schedules(*, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False) -> None:
    """Show when each golden set is replayed, and what started its last run."""
    terminal = Terminal(json=json)
    from winnow.api.schemas.stability import golden_sets_response

    folder, owner = open_tenant(settings, tenant)
    book = folder.catalog.stability
    found = book.sets(owner)
    if json:
        terminal.answer(golden_sets_response(found))
        return
    terminal.table(
        [
            Column(name="set", style="bold"),
            Column(name="collection"),
            Column(name="replayed"),
            Column(name="next (UTC)"),
            Column(name="last run"),
            Column(name="started by"),
        ],
        [_row(each, next(iter(book.runs(owner, golden=each.name, limit=1)), None)) for each in found],
    )


@schedule.command("remove")
@with_settings("data")
def remove_schedule(
    name: SetNameArgument, *, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False
) -> None:
    """Replay a golden set only on demand, and after changes."""
    terminal = Terminal(json=json)
    from winnow.api.schemas.stability import golden_set_response
    from winnow.retrieval.tenancy import COMMAND_LINE

    folder, owner = open_tenant(settings, tenant)
    found = folder.catalog.schedules.remove_schedule(owner, name, by=COMMAND_LINE)
    if json:
        terminal.answer(golden_set_response(found))
    else:
        terminal.say(f"{found.name} has no schedule.")


def _row(golden: GoldenSet, last: Run | None) -> tuple[str, ...]:
    schedule = golden.schedule
    return (
        golden.name,
        golden.collection,
        "on demand, and after changes" if schedule is None else times(schedule),
        "" if schedule is None else _next_at(schedule),
        "not run yet" if last is None else last.at.isoformat(timespec="seconds"),
        "" if last is None else last.trigger,
    )


def times(schedule: Schedule) -> str:
    """Say when a set is replayed."""
    from winnow.retrieval.catalog.stability_schedules import duration_text

    if schedule.every is not None:
        return f"every {duration_text(schedule.every)}"
    return f"daily at {schedule.daily_hour:02}:00"


def _next_at(schedule: Schedule) -> str:
    from datetime import UTC, datetime

    return schedule.next_at(datetime.now(UTC)).strftime("%Y-%m-%d %H:%M:%S")
