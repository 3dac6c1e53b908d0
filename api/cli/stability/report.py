"""`winnow stability report, sampling`: what live searches and runs show over time, and which searches are recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from winnow.api.cli.options import Json, TenantOption, open_tenant, own_name, switch, with_settings
from winnow.api.cli.stability.golden import outcome, stability
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import amount, number, snippet
from winnow.api.settings import Settings
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.api.stability.report import Day, Mark, Mover
    from winnow.retrieval.catalog.stability import Run

__all__ = ["stability"]  # the group, with these commands in it

DIGEST_CHARACTERS: Final = 8  # of a query in a table; --json has all
PLACES_SHOWN: Final = 3
RUNS_SHOWN: Final = 20  # the newest


@stability.command("report")
@with_settings("data")
def report_stability(
    *,
    collection: Annotated[
        str | None,
        typer.Option(
            "--collection", "-c", metavar="NAME", help="Only this collection; all by default.", callback=own_name
        ),
    ] = None,
    days: Annotated[int, typer.Option("--days", metavar="N", help="How many days to report.", min=1, max=90)] = 30,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Show a line per day, what changed when, and the queries that moved most.

    A recorded search is compared with the one before of the same question, a run of a golden set with its baseline.
    """
    terminal = Terminal(json=json)
    from winnow.api.schemas.stability_report import stability_report_response
    from winnow.api.stability.report import Reports

    folder, owner = open_tenant(settings, tenant)
    catalog = folder.catalog
    report = Reports(catalog.stability, catalog.samples).report(owner, collection=collection, days=days)
    if json:
        terminal.answer(stability_report_response(report))
        return
    terminal.table(_DAY_COLUMNS, [_day_row(each) for each in report.days])
    if terminal.is_rich and report.marks:
        terminal.table(_MARK_COLUMNS, [_mark_row(each) for each in report.marks], title="Changed")
    if terminal.is_rich and report.runs:
        terminal.table(_RUN_COLUMNS, [_run_row(each) for each in report.runs[:RUNS_SHOWN]], title="Runs of golden sets")
    if terminal.is_rich and report.movers:
        terminal.table(_MOVER_COLUMNS, [_mover_row(each) for each in report.movers], title="Moved most")
    if not report.days:
        terminal.say(
            "Nothing is recorded yet. 'winnow stability sampling --share 0.1' records a tenth of live searches, "
            "'winnow stability golden add' makes a golden set."
        )


@stability.command("sampling")
@with_settings("data")
def set_sampling(
    *,
    share: Annotated[
        float | None,
        typer.Option("--share", metavar="S", help="Share of the tenant's searches to record, from 0 (none) to 1."),
    ] = None,
    keep_queries: Annotated[
        bool, switch("--keep-queries", meaning="With --share: store the texts of queries, not only keyed digests.")
    ] = False,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Show or set which share of a tenant's live searches is recorded: the first 20 places and what made them.

    Running services apply it within two seconds. Without --keep-queries, texts recorded before are deleted.
    """
    terminal = Terminal(json=json)
    from winnow.api.fields import parsed
    from winnow.api.schemas.stability import SamplingBody, sampling_response
    from winnow.retrieval.tenancy import COMMAND_LINE

    if share is None and keep_queries:
        raise InvalidRequest("--keep-queries needs --share")
    body = None if share is None else parsed(SamplingBody, {"share": share, "keep_queries": keep_queries})
    folder, owner = open_tenant(settings, tenant)
    samples = folder.catalog.samples
    if body is None:
        rule = samples.rule(owner)
    else:
        rule = samples.set_rule(owner, share=body.share, keep_queries=body.keep_queries, by=COMMAND_LINE)
    if json:
        terminal.answer(sampling_response(rule))
    else:
        texts = "with their texts" if rule.keep_queries else "with keyed digests of their texts"
        terminal.say(f"{rule.share:.1%} of the searches of {owner} are recorded, {texts}.")


_DAY_COLUMNS: Final = [
    Column(name="day", whole=True),
    Column(name="collection"),
    Column(name="instruction"),
    *(Column(name=name, right=True) for name in ("samples", "repeated", "moved", "top-1 changed", "overlap@10")),
    *(Column(name=name, right=True) for name in ("rbo", "degraded", "runs", "runs moved")),
    Column(name="causes"),
]
_MARK_COLUMNS: Final = [
    Column(name="at", whole=True),
    Column(name="collection"),
    Column(name="what", style="bold"),
    Column(name="before"),
    Column(name="after"),
]
_RUN_COLUMNS: Final = [
    Column(name="at", whole=True),
    Column(name="run", right=True),
    Column(name="set", style="bold"),
    Column(name="collection"),
    Column(name="started by"),
    Column(name="outcome"),
]
_MOVER_COLUMNS: Final = [
    Column(name="query"),
    Column(name="collection"),
    Column(name="in"),
    Column(name="rbo", right=True),
    Column(name="before"),
    Column(name="after", style="bold"),
]


def _day_row(day: Day) -> tuple[str, ...]:
    return (
        day.day.isoformat(),
        day.collection,
        day.instruction,
        amount(day.samples),
        amount(day.repeated),
        amount(day.moved),
        _percent(day.top1_change_rate),
        number(day.overlap),
        number(day.rbo),
        _percent(day.degraded),
        amount(day.runs),
        amount(day.runs_moved),
        ", ".join(day.causes),
    )


def _mark_row(mark: Mark) -> tuple[str, ...]:
    return mark.at.isoformat(timespec="seconds"), mark.collection, mark.factor, mark.before, mark.after


def _run_row(run: Run) -> tuple[str, ...]:
    at = run.at.isoformat(timespec="seconds")
    return at, str(run.number), run.golden, run.collection, run.trigger, outcome(run)


def _mover_row(mover: Mover) -> tuple[str, ...]:
    moved = mover.moved
    return (
        snippet(moved.query) if moved.query else mover.query_digest[:DIGEST_CHARACTERS],
        mover.collection,
        "a search" if mover.run is None else f"run {mover.run}",
        number(moved.rbo),
        _first(moved.before.chunks),
        _first(moved.after.chunks),
    )


def _first(chunks: tuple[tuple[str, int], ...]) -> str:
    return "\n".join(f"{document_id} #{ordinal}" for document_id, ordinal in chunks[:PLACES_SHOWN])


def _percent(value: float | None) -> str:
    return number(None) if value is None else f"{value:.1%}"
