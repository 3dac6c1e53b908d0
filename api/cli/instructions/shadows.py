"""`winnow instructions shadow, promote`: evaluate a version on live searches without showing it, then publish it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from winnow.api.cli.instructions.library import NameArgument
from winnow.api.cli.instructions.trials import instructions
from winnow.api.cli.options import (
    Json,
    TenantOption,
    open_tenant,
    switch,
    with_settings,
)
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import amount, number, snippet
from winnow.api.settings import Settings
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.api.library.shadow_report import PairReport, Spread
    from winnow.retrieval.catalog.shadows import Comparison, Place

__all__ = ["instructions"]  # the group, with these commands in it

SHA_CHARACTERS: Final = 8  # of a digest in a table; --json has all
ID_CHARACTERS: Final = 40  # of a document's id

FullVersion = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="Name and version of the instruction.")]

shadow = typer.Typer(
    help="Rerank a share of live searches under another version as well, and compare.", no_args_is_help=True
)
instructions.add_typer(shadow, name="shadow")


@shadow.command("start")
@with_settings("data")
def start_shadow(
    version: FullVersion,
    *,
    live: Annotated[
        str | None,
        typer.Option(
            "--live",
            metavar="NAME[@VERSION]",
            help="Instruction of the live searches; by default NAME. 'default' is the model card's instruction.",
        ),
    ] = None,
    share: Annotated[
        float,
        typer.Option("--share", metavar="S", help="Share of those searches to rerank twice, from 0 (paused) to 1."),
    ] = 0.1,
    collection: Annotated[
        str | None,
        typer.Option("--collection", "-c", metavar="NAME", help="Only searches of this collection; all by default."),
    ] = None,
    keep_queries: Annotated[
        bool, switch("--keep-queries", meaning="Store the texts of queries, not only their SHA-256.")
    ] = False,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Rerank a share of live searches under this version as well, such as a draft, after they were answered.

    Replaces the current shadow of NAME. Running services apply it within two seconds.
    """
    terminal = Terminal(json=json)
    from winnow.api.fields import parsed
    from winnow.api.schemas.shadows import ShadowBody, shadow_response
    from winnow.retrieval.catalog.instructions import Reference
    from winnow.retrieval.tenancy import COMMAND_LINE

    reference = Reference.of(version)
    if reference.version is None:
        raise InvalidRequest(f"which version of {version}? Write {version}@NUMBER")
    fields = {
        "version": reference.version,
        "share": share,
        "live": live,
        "collection": collection,
        "keep_queries": keep_queries,
    }
    wish = parsed(ShadowBody, fields).wish
    folder, owner = open_tenant(settings, tenant)
    shadows = folder.catalog.shadows
    started = shadows.start(owner, reference.name, wish, by=COMMAND_LINE)
    if json:
        terminal.answer(shadow_response(started))
    else:
        terminal.say(
            f"{started.reference} shadows {started.share:.0%} of the searches under {started.live}. "
            f"'winnow instructions shadow report {started.name}' shows the results."
        )


@shadow.command("list")
@with_settings("data")
def list_shadows(*, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False) -> None:
    """List the running shadows."""
    terminal = Terminal(json=json)
    from winnow.api.schemas.shadows import shadows_response

    folder, owner = open_tenant(settings, tenant)
    shadows = folder.catalog.shadows
    found = shadows.of(owner)
    if json:
        terminal.answer(shadows_response(found))
        return
    terminal.table(
        [
            Column(name="shadow", style="bold"),
            Column(name="live"),
            Column(name="share", right=True),
            Column(name="collection"),
            Column(name="queries"),
            Column(name="since"),
        ],
        [
            (
                each.reference,
                each.live,
                f"{each.share:.3g}",
                each.collection or "all",
                "kept" if each.keep_queries else "sha256",
                each.started_at.isoformat(timespec="seconds"),
            )
            for each in found
        ],
    )


@shadow.command("report")
@with_settings("data")
def report_shadow(
    name: NameArgument, *, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False
) -> None:
    """Show how much the order under the shadow differs from the order that callers saw, per pair of versions.

    overlap compares the first ten places, tau all candidates, rbo all places with more weight on the first; 1 means the
    same order. A tenth of the searches are below p10; --json also has p50 and p90.
    """
    terminal = Terminal(json=json)
    from winnow.api.schemas.shadows import report_response

    folder, owner = open_tenant(settings, tenant)
    shadows = folder.catalog.shadows
    report = shadows.report(owner, name)
    if json:
        terminal.answer(report_response(report))
        return
    terminal.table(_PAIR_COLUMNS, [_pair_row(each) for each in report.pairs])
    for pair in report.pairs if terminal.is_rich else ():
        figures = pair.figures.pair
        terminal.table(
            [
                Column(name="query"),
                Column(name="collection"),
                Column(name="rbo", right=True),
                Column(name="overlap", right=True),
                Column(name="first live"),
                Column(name="first in the shadow", style="bold"),
            ],
            [_example_row(each) for each in pair.examples],
            title=f"Changed most: {figures.live} to {figures.shadow}, text {figures.text_sha256[:SHA_CHARACTERS]}",
        )
    if not report.pairs:
        terminal.say(f"No search has been reranked under a shadow of {name} yet.")
    if report.shadow is None:
        terminal.say(f"{name} has no shadow now.")


@shadow.command("stop")
@with_settings("data")
def stop_shadow(
    name: NameArgument,
    *,
    forget: Annotated[bool, switch("--forget", meaning="Also delete its results.")] = False,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Stop the shadow of an instruction. Its results stay, unless you pass --forget."""
    terminal = Terminal(json=json)
    from winnow.retrieval.tenancy import COMMAND_LINE

    folder, owner = open_tenant(settings, tenant)
    shadows = folder.catalog.shadows
    shadows.stop(owner, name, forget=forget, by=COMMAND_LINE)
    if json:
        terminal.answer({"deleted": name})
    else:
        terminal.say(f"The shadow of {name} is stopped{', and its results are deleted' if forget else ''}.")


@instructions.command("promote")
@with_settings("data")
def promote_instruction(
    version: FullVersion, *, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False
) -> None:
    """Publish a draft, which its name then means, and stop its shadow.

    Searches and defaults that name another version keep that version.
    """
    terminal = Terminal(json=json)
    from winnow.api.schemas.instructions import instruction_response
    from winnow.retrieval.catalog.instructions import Reference
    from winnow.retrieval.tenancy import COMMAND_LINE

    folder, owner = open_tenant(settings, tenant)
    shadows = folder.catalog.shadows
    promoted = shadows.promote(owner, Reference.of(version), by=COMMAND_LINE)
    if json:
        terminal.answer(instruction_response(promoted))
    else:
        terminal.say(f"{promoted.name} now means {promoted.reference}.")


_PAIR_COLUMNS: Final = [
    Column(name="live"),
    Column(name="shadow", style="bold"),
    Column(name="text", style="dim"),
    Column(name="searches", right=True),
    *(Column(name=f"{measure}{of}", right=True) for measure in ("overlap", "tau", "rbo") for of in ("", " p10")),
    Column(name="top changed", right=True),
]


def _pair_row(report: PairReport) -> tuple[str, ...]:
    figures = report.figures
    return (
        figures.pair.live,
        figures.pair.shadow,
        figures.pair.text_sha256[:SHA_CHARACTERS],
        amount(figures.searches),
        *_spread_cells(figures.overlap),
        *_spread_cells(figures.tau),
        *_spread_cells(figures.rbo),
        f"{figures.top_changed:.1%}",
    )


def _spread_cells(spread: Spread | None) -> tuple[str, str]:
    if spread is None:
        return number(None), number(None)
    return number(spread.mean), number(spread.p10)


def _example_row(comparison: Comparison) -> tuple[str, ...]:
    return (
        comparison.query_sha256[:SHA_CHARACTERS] if comparison.query is None else snippet(comparison.query),
        comparison.collection,
        number(comparison.agreement.rbo),
        number(comparison.agreement.overlap),
        _place(comparison.live_order[0]),
        _place(comparison.shadow_order[0]),
    )


def _place(place: Place) -> str:
    return f"{snippet(place.document_id, characters=ID_CHARACTERS)} #{place.ordinal}"
