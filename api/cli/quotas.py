"""`winnow limits` and `winnow usage`: set the limits of tenants, and show what they used."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from winnow.api.cli.options import (
    Json,
    open_data_folder,
    own_name,
    switch,
    with_settings,
)
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import amount
from winnow.api.settings import Settings
from winnow.retrieval.errors import InvalidRequest

if TYPE_CHECKING:
    from winnow.retrieval.catalog.quotas import TenantLimits

limits = typer.Typer(help="Show and change the limits of tenants.", no_args_is_help=True)

NUMBER = "A number, 'none' for no limit, or 'default' for the setting of the service."


def _limit(flag: str, meaning: str) -> Any:
    return typer.Option(flag, metavar="N", help=f"{meaning} {NUMBER}", show_default=False)


@limits.command("show")
@with_settings("data")
def show_limits(
    tenant: Annotated[
        str | None, typer.Argument(metavar="TENANT", help="Show only this tenant.", callback=own_name)
    ] = None,
    *,
    settings: Settings,
    json: Json = False,
) -> None:
    """Show the default limits and the tenants that have limits of their own."""
    terminal = Terminal(json=json)
    disk = open_data_folder(settings)
    own = disk.catalog.limits.limits()
    if tenant is not None:
        named = disk.catalog.tenant_named(tenant)
        own = {name: each for name, each in own.items() if name == named}
    _say(terminal, {"(default)": settings.limits, **own}, json=json)


@limits.command("set")
@with_settings("data")
def set_limits(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Name of the tenant.", callback=own_name)],
    *,
    requests_per_minute: Annotated[str | None, _limit("--requests-per-minute", "Maximum requests per minute.")] = None,
    rerank_tokens_per_minute: Annotated[
        str | None, _limit("--rerank-tokens-per-minute", "Maximum tokens per minute that rerankers compute.")
    ] = None,
    concurrent_requests: Annotated[
        str | None, _limit("--concurrent-requests", "Maximum concurrent requests per process.")
    ] = None,
    documents: Annotated[str | None, _limit("--documents", "Maximum documents in all collections together.")] = None,
    size: Annotated[str | None, _limit("--bytes", "Maximum bytes on disk, indexes included.")] = None,
    weight: Annotated[
        str | None,
        typer.Option(
            "--weight", metavar="W", help="Relative share of the reranker when tenants compete; 'default' is 1."
        ),
    ] = None,
    settings: Settings,
    json: Json = False,
) -> None:
    """Change limits of a tenant; others stay as they are. Running services apply them within two seconds."""
    terminal = Terminal(json=json)
    from winnow.retrieval.catalog.quotas import TenantLimits

    disk = open_data_folder(settings)
    named = disk.catalog.tenant_named(tenant)
    given = {
        "requests_per_minute": requests_per_minute,
        "rerank_tokens_per_minute": rerank_tokens_per_minute,
        "concurrent_requests": concurrent_requests,
        "documents": documents,
        "bytes": size,
    }
    changes: dict[str, Any] = {name: _number(name, raw) for name, raw in given.items() if raw is not None}
    if weight is not None:
        changes["weight"] = _weight(weight)
    changed = replace(disk.catalog.limits.limits().get(named, TenantLimits()), **changes)
    disk.catalog.limits.set_limits(named, changed)
    _say(terminal, {"(default)": settings.limits, named: changed}, json=json)


@with_settings("data")
def usage(
    *,
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="DAY", help="First day, in UTC, such as 2026-01-31; today by default."),
    ] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last day; today by default.")] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="TENANT", help="Show only this tenant.", callback=own_name)
    ] = None,
    as_csv: Annotated[bool, switch("--csv", meaning="Print comma-separated values with a header line.")] = False,
    settings: Settings,
    json: Json = False,
) -> None:
    """Show what tenants used per day: requests, searches, tokens, documents.

    A running service saves usage every five seconds. Commands are not counted.
    """
    terminal = Terminal(json=json or as_csv)
    from winnow.api.schemas.quotas import usage_csv, usage_response
    from winnow.retrieval.catalog.quotas import AMOUNTS
    from winnow.retrieval.catalog.sql.quotas import SqlUsageBook

    disk = open_data_folder(settings)
    first, last = _day(since), _day(until)
    if last < first:
        raise InvalidRequest(f"{last} is before {first}")
    found = SqlUsageBook(disk.catalog.database).usage(since=first, until=last, tenant=tenant)
    if json:
        terminal.answer(usage_response(found))
    elif as_csv:
        terminal.lines(*usage_csv(found).splitlines())
    elif not found and terminal.is_rich:
        terminal.say("No usage." if since or until or tenant else "No usage today. Use --from for earlier days.")
    else:
        # A person sees the columns that are not zero; a program always gets all columns.
        names = [name for name in AMOUNTS if not terminal.is_rich or any(getattr(each, name) for each in found)]
        terminal.table(
            [Column(name="day", whole=True), Column(name="tenant", style="bold", whole=True)]
            + [Column(name=name.replace("_", " "), right=True) for name in names],
            [(each.day.isoformat(), each.tenant, *(amount(getattr(each, name)) for name in names)) for each in found],
        )


def _number(name: str, raw: str) -> int | None:
    """Raises `InvalidRequest`."""
    words = {"default": None, "none": 0}
    if raw in words:
        return words[raw]
    if not raw.isascii() or not raw.isdigit() or int(raw) == 0:
        raise InvalidRequest(f"{name} = {raw!r}: it must be a number above 0, 'none' or 'default'")
    return int(raw)


def _weight(raw: str) -> float | None:
    """Raises `InvalidRequest`."""
    if raw == "default":
        return None
    try:
        return float(raw)
    except ValueError:
        raise InvalidRequest(f"weight = {raw!r}: it must be a number or 'default'") from None


def _day(raw: str | None) -> date:
    """Raises `InvalidRequest`."""
    if raw is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(raw)
    except ValueError:
        raise InvalidRequest(f"{raw!r} is not a day; write a day like 2026-01-31") from None


def _say(terminal: Terminal, limits_of: dict[str, TenantLimits], *, json: bool) -> None:
    if json:
        default, *own = limits_of.items()
        terminal.answer({"default": asdict(default[1]), "tenants": {name: asdict(each) for name, each in own}})
        return
    from winnow.retrieval.catalog.quotas import COUNTED_BY, CountedBy

    names = list(asdict(next(iter(limits_of.values()))))
    terminal.table(
        [Column(name="tenant", style="bold"), *(Column(name=name.replace("_", " "), right=True) for name in names)],
        [
            (tenant, *(_shown(value, is_default=tenant == "(default)") for value in asdict(each).values()))
            for tenant, each in limits_of.items()
        ],
    )
    by_process, by_all = (
        ", ".join(limit.replace("_", " ") for limit in COUNTED_BY if COUNTED_BY[limit] is counted)
        for counted in (CountedBy.PROCESS, CountedBy.ALL)
    )
    terminal.say(f"Counted by each process: {by_process}. Counted for all processes together: {by_all}.")


def _shown(value: float | None, *, is_default: bool) -> str:
    if value is None:
        return "1" if is_default else "default"  # only a weight has no default in the settings
    if value == 0:
        return "none"
    return amount(value) if isinstance(value, int) else f"{value:g}"
