"""`winnow stability golden`: golden sets, and their runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from winnow.api.cli.options import (
    DEVICE,
    EMBEDDER,
    RERANKER,
    Json,
    OwnCollectionName,
    TenantOption,
    open_tenant,
    own_name,
    switch,
    with_settings,
)
from winnow.api.cli.stability.query_files import read_judged_folder, read_query_file
from winnow.api.cli.terminal import Column, Exit, Terminal
from winnow.api.formatting import amount, number, snippet
from winnow.api.settings import Settings
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from winnow.api.assemble import Services
    from winnow.retrieval.catalog.stability import Moved, Run

MOVED_SHOWN: Final = 10  # queries
SERVED: Final = ("data", "depth", "timeout_ms", *EMBEDDER, *RERANKER, *DEVICE)

stability = typer.Typer(help="Watch whether rankings move, and why.", no_args_is_help=True)
golden = typer.Typer(help="Golden sets: queries to replay, and the runs of each.", no_args_is_help=True)
stability.add_typer(golden, name="golden")

SetNameArgument = Annotated[str, typer.Argument(metavar="SET", help="Name of the golden set.", callback=own_name)]


@golden.command("add")
@with_settings("data", "candidates", "recall")
def add_queries(
    name: SetNameArgument,
    *,
    collection: OwnCollectionName,
    query: Annotated[list[str] | None, typer.Option("--query", metavar="TEXT", help="A query; repeatable.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Queries from a file: a text file with one per line, or .jsonl with 'query' and perhaps 'judgments' "
            "(grades by document id).",
        ),
    ] = None,
    beir: Annotated[
        Path | None, typer.Option("--beir", metavar="FOLDER", help="Judged queries of a folder in BEIR's form.")
    ] = None,
    split: Annotated[str, typer.Option("--split", metavar="NAME", help="Judgments of --beir to use.")] = "test",
    instruction_name: Annotated[
        str | None,
        typer.Option(
            "--instruction-name",
            metavar="NAME[@VERSION]",
            help="Instruction of the searches; by default the collection's. Only for a new set.",
        ),
    ] = None,
    candidates: int | None,
    recall: str | None,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Add queries to a golden set; its first ones create it.

    A query that the set already has gets the judgments given now. To include new queries in comparisons, make the next
    run the baseline: winnow stability golden run SET --rebase.
    """
    terminal = Terminal(json=json)
    from winnow.api.fields import parsed
    from winnow.api.schemas.stability import GoldenSetBody, golden_set_response
    from winnow.retrieval.tenancy import COMMAND_LINE

    queries: list[dict[str, Any]] = [{"query": each} for each in query or []]
    queries += read_query_file(file) if file else []
    queries += read_judged_folder(beir, split) if beir else []
    if not queries:
        raise InvalidRequest("no queries given; use --query, --from or --beir")
    fields = {
        "name": name,
        "collection": collection,
        "queries": queries,
        "candidates": candidates,
        "recall": recall,
        "instruction": instruction_name,
    }
    body = parsed(GoldenSetBody, fields)
    folder, owner = open_tenant(settings, tenant)
    folder.catalog.collections.get(owner, collection)
    found = folder.catalog.stability.add(body.golden_set(owner), body.golden_queries, by=COMMAND_LINE)
    if json:
        terminal.answer(golden_set_response(found))
    else:
        terminal.say(f"{found.name} has {amount(found.queries)} queries, {amount(found.judged)} of them judged.")


@golden.command("list")
@with_settings("data")
def list_sets(*, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False) -> None:
    """List the golden sets, with the outcome of their last run."""
    terminal = Terminal(json=json)
    from winnow.api.schemas.stability import golden_sets_response

    folder, owner = open_tenant(settings, tenant)
    found = folder.catalog.stability.sets(owner)
    if json:
        terminal.answer(golden_sets_response(found))
        return
    last = {each.name: folder.catalog.stability.runs(owner, golden=each.name, limit=1) for each in found}
    terminal.table(
        [
            Column(name="set", style="bold"),
            Column(name="collection"),
            Column(name="queries", right=True),
            Column(name="judged", right=True),
            Column(name="baseline", right=True),
            Column(name="last run"),
            Column(name="outcome"),
        ],
        [
            (
                each.name,
                each.collection,
                amount(each.queries),
                amount(each.judged),
                "" if each.baseline is None else str(each.baseline),
                last[each.name][0].at.isoformat(timespec="seconds") if last[each.name] else "",
                outcome(last[each.name][0]) if last[each.name] else "not run yet",
            )
            for each in found
        ],
    )


@golden.command("remove")
@with_settings("data")
def remove_set(
    name: SetNameArgument, *, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False
) -> None:
    """Remove a golden set with all its runs."""
    terminal = Terminal(json=json)
    from winnow.retrieval.tenancy import COMMAND_LINE

    folder, owner = open_tenant(settings, tenant)
    folder.catalog.stability.remove(owner, name, by=COMMAND_LINE)
    if json:
        terminal.answer({"deleted": name})
    else:
        terminal.say(f"{name} and its runs are removed.")


@golden.command("run")
@with_settings(*SERVED)
def run_set(
    name: SetNameArgument,
    *,
    rebase: Annotated[bool, switch("--rebase", meaning="Make this run the baseline of later ones.")] = False,
    check: Annotated[
        bool, switch("--check", meaning="Exit with 1 if an answer moved, or could not be compared.")
    ] = False,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Answer all queries of a golden set, compare with its baseline, and find out why answers moved.

    The first run becomes the baseline. To tell causes apart, queries are replayed with the old reranker, instruction or
    index, where they are still there: up to five times in all.
    """
    terminal = Terminal(json=json)
    import asyncio

    from winnow.api.assemble import assemble
    from winnow.api.assemble_search import closing
    from winnow.api.schemas.stability import run_report_response
    from winnow.retrieval.catalog.stability import Trigger

    _, owner = open_tenant(settings, tenant)
    services: Services = assemble(settings)
    replay = services.replays.run(owner, name, rebase=rebase, trigger=Trigger.COMMAND)
    run = asyncio.run(closing(replay, *services.pools))
    moved = services.replays.moved(run)
    if json:
        terminal.answer(run_report_response(run, moved))
    else:
        show_run(terminal, run, moved)
    if check and not is_stable(run):
        raise typer.Exit(Exit.FAILED)


def show_run(terminal: Terminal, run: Run, moved: Sequence[Moved]) -> None:
    """Print the measures and causes of a run, and the queries that moved most."""
    measures = run.measures
    if measures is None:
        terminal.say(f"Run {run.number} of {run.golden} is its first, and the baseline of later ones.")
        return
    terminal.table(
        [Column(name="measure"), Column(name="value", right=True)],
        [
            ("queries compared", amount(measures.queries)),
            ("moved", amount(measures.moved)),
            ("top-1 change rate", f"{measures.top1_change_rate:.1%}"),
            ("overlap@10", number(measures.overlap)),
            ("RBO (p = 0.9)", number(measures.rbo)),
            ("Kendall's tau-b", number(measures.tau)),
            ("score shift, mean", number(measures.score_shift_mean)),
            ("score shift, largest", number(measures.score_shift_max)),
            ("degraded", f"{measures.degraded:.1%}"),
            ("degraded in the baseline", f"{measures.degraded_before:.1%}"),
            ("nDCG@10", number(measures.ndcg)),
            ("nDCG@10 of the baseline", number(measures.ndcg_before)),
        ],
        title=f"Run {run.number} of {run.golden}, compared with run {run.baseline}: {outcome(run)}",
    )
    for cause in run.causes:
        share = (
            "" if cause.share is None else f" ({cause.share:.0%} of the moved answers are as before with the old one)"
        )
        terminal.say(f"{cause.kind} [{cause.proof}]: {cause.before} -> {cause.after}{share}")
    for each in moved[:MOVED_SHOWN] if terminal.is_rich else ():
        terminal.table(
            [Column(name="place", right=True), Column(name="before"), Column(name="after", style="bold")],
            [
                (str(place), _chunk(each.before.chunks, place), _chunk(each.after.chunks, place))
                for place in range(1, 6)
            ],
            title=f"{snippet(each.query)}: RBO {each.rbo:.3f}",
        )


def outcome(run: Run) -> str:
    """Say in a few words what came of a run."""
    if run.measures is None:
        return "baseline"
    if not run.measures.queries:
        return "nothing compared: all answers are degraded"
    if not run.causes:
        return "nothing moved"
    return f"{run.measures.moved} moved: {', '.join(dict.fromkeys(each.kind for each in run.causes))}"


def is_stable(run: Run) -> bool:
    """Whether nothing moved. A degraded answer is not compared, so it proves nothing."""
    measures = run.measures
    return measures is None or not (run.causes or measures.degraded or measures.degraded_before)


def _chunk(chunks: Sequence[tuple[str, int]], place: int) -> str:
    return f"{chunks[place - 1][0]} #{chunks[place - 1][1]}" if place <= len(chunks) else ""
