"""`winnow instructions try, diff, export, import`: try, compare and move instructions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from winnow.api.cli.instructions.library import read_bytes
from winnow.api.cli.instructions.preview import VariableOption, instructions
from winnow.api.cli.instructions.source import instruction_source
from winnow.api.cli.options import (
    DEVICE,
    EMBEDDER,
    RERANKER,
    SERVICE,
    CollectionName,
    Json,
    TenantOption,
    open_tenant,
    with_settings,
)
from winnow.api.cli.standard_streams import print_text
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import counted, number, plain, snippet
from winnow.api.settings import Settings
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from rich.text import Text

    from winnow.api.search.trial import Trial, TrialPlace

__all__ = ["instructions"]  # the group, with these commands in it

TITLE_CHARACTERS: Final = 120  # characters; the terminal cuts them to its own width
COLUMN_CHARACTERS_MIN: Final = 24  # characters; a narrower column is unreadable


@instructions.command("diff")
@with_settings("data", *SERVICE)
def diff_instruction(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the instruction.")],
    before: Annotated[int, typer.Argument(metavar="VERSION", help="Version to compare from.")],
    after: Annotated[int, typer.Argument(metavar="VERSION", help="Version to compare with.")],
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Show the differences between two versions, line by line."""
    terminal = Terminal(json=json)
    found = instruction_source(settings, tenant).diff(name, before, after)
    if json:
        terminal.answer(found)
        return
    lines = found["diff"].splitlines()
    if not lines:
        terminal.say("The versions are identical.")
    elif terminal.is_rich:
        from rich.text import Text

        for line in lines:
            terminal.draw(Text(plain(line), style=_LINE_STYLES.get(line[0], "")))
    else:
        terminal.lines(*map(plain, lines))


_LINE_STYLES: Final = {"+": "green", "-": "red", "@": "dim"}


@instructions.command("export")
@with_settings("data", *SERVICE)
def export_instructions(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Names of instructions; by default all but the built-in ones."),
    ] = None,
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Print instructions as YAML: all versions, with numbers, states and dates.

    With --json the YAML is a field of a JSON object.
    """
    terminal = Terminal(json=json)
    yaml, versions = instruction_source(settings, tenant).exported(list(dict.fromkeys(names or [])))
    if json:
        terminal.answer({"yaml": yaml, "versions": versions})
    else:
        print_text(yaml)


@instructions.command("import")
@with_settings("data", *SERVICE)
def import_instructions(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="YAML file that `winnow instructions export` wrote; - is stdin.")
    ],
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Import instructions from YAML: the whole file or nothing. Identical versions are skipped."""
    terminal = Terminal(json=json)
    content = read_bytes(file)
    found = instruction_source(settings, tenant, create=True).bring_in(content)
    if json:
        terminal.answer(found)
    else:
        terminal.say(f"{counted(len(found['added']), 'version')} added, {found['unchanged']} already present.")


@instructions.command("try")
@with_settings("candidates", "recall", "timeout_ms", "data", *EMBEDDER, *RERANKER, *DEVICE)
def try_instructions(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="Text to search for.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME[@VERSION]]...",
            help="Instructions to compare with the first, drafts included; `default` is the one in use.",
        ),
    ] = None,
    *,
    versions: Annotated[
        list[str] | None,
        typer.Option(
            "--versions", metavar="NAME[@VERSION]...", help="More instructions, placed before the others; repeatable."
        ),
    ] = None,
    variable: VariableOption = None,
    collection: CollectionName,
    top_k: Annotated[int, typer.Option("--top-k", "-k", metavar="N", help="Number of places to show.")] = 10,
    candidates: int | None,
    recall: str | None,
    timeout_ms: int | None,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Rank the candidates of one query under several instructions, side by side. Stores nothing.

    Candidates are found once, with the embedding task of the first instruction. With --json the output is the response
    body of POST /v1/instructions/try.
    """
    terminal = Terminal(json=json)
    import asyncio

    from winnow.api.assemble import assemble
    from winnow.api.assemble_search import closing
    from winnow.api.cli.instructions.variables import named_instructions
    from winnow.api.fields import deadline_of, parsed
    from winnow.api.schemas.instruction_requests import TrialBody
    from winnow.api.schemas.instructions import trial_response
    from winnow.api.search.rerankers import settings_for

    references = [*(versions or []), *(names or [])]
    body = parsed(
        TrialBody,
        {
            "query": query,
            "collection": collection,
            "versions": references,
            "top_k": top_k,
            "candidates": candidates,
            "recall": recall,
        },
    )
    disk, owner = open_tenant(settings, tenant)
    chosen = disk.catalog.collections.get(owner, body.collection).reranker  # before loading
    wanted = named_instructions(disk.catalog.instructions, owner, references, variable or [])
    for each in filter(None, wanted):
        disk.catalog.instructions.tried(owner, each)
    parts = assemble(settings_for(settings, chosen))
    question = replace(body.question(owner), wanted=tuple(wanted))
    running = parts.trials.run(question, deadline_of(timeout_ms, settings.timeout_ms))
    trial = asyncio.run(closing(running, *parts.pools))
    if json:
        terminal.answer(trial_response(trial))
        return
    (_draw_trial if terminal.is_rich else _print_trial)(terminal, trial)
    unread = [each.ranking for each in trial.columns if each.rerank_skipped is None]
    if unread and not unread[0].instruction_applied:
        terminal.warn(f"{unread[0].judged_by} reads no instruction: the orders are the same under each.")


def _draw_trial(terminal: Terminal, trial: Trial) -> None:
    """Draw a row per place and a column per instruction, with how far each document moved."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", justify="right", style="dim", width=3)
    width = max(COLUMN_CHARACTERS_MIN, (terminal.out.width - 5) // len(trial.columns) - 2)  # 3 and the space after it
    for column in trial.columns:
        state = column.instruction.state
        odd = f" ({state})" if state is not None and state.value != "published" else ""
        table.add_column(Text(f"{column.instruction.said}{odd}"), width=width, no_wrap=True, overflow="ellipsis")
    for place in range(max(len(each.places) for each in trial.columns)):
        table.add_row(
            str(place + 1),
            *(_cell(column.places[place], is_first=column is trial.columns[0]) for column in trial.columns),
        )
    terminal.draw(table if trial.recalled.candidates else "No results.")
    reranked = [each for each in trial.columns if each.rerank_skipped is None]
    skipped = [each.instruction.said for each in trial.columns if each.rerank_skipped is not None]
    by = f"reranked by {reranked[0].ranking.judged_by}" if reranked else "in the order of recall"
    terminal.say(
        f"{len(trial.recalled.candidates)} candidates {by} · ▲▼ places against {trial.columns[0].instruction.said}"
    )
    if skipped:
        terminal.say(f"in the order of recall, because relevance has no weight: {', '.join(skipped)}")


def _cell(place: TrialPlace, *, is_first: bool) -> Text:
    from rich.text import Text

    ranked, chunk = place.ranked, place.ranked.candidate.chunk
    score = (f"{number(ranked.score)} ", "dim")
    name = snippet(chunk.title or chunk.text, characters=TITLE_CHARACTERS)
    which = (f" {chunk.ordinal}" if chunk.ordinal else "", "dim")  # of the document's chunks; the first goes without
    if is_first:
        return Text.assemble(score, name, which)
    mark, style = ("▲", "green") if place.moved > 0 else ("▼", "red") if place.moved < 0 else ("=", "dim")
    return Text.assemble(score, (f"{mark}{abs(place.moved) or '':<3}", style), name, which)


def _print_trial(terminal: Terminal, trial: Trial) -> None:
    """Print one line per place of each instruction for a program."""
    terminal.table(
        [Column(name=each) for each in ("instruction", "rank", "moved", "score", "document_id", "ordinal", "title")],
        [
            (
                column.instruction.said,
                str(place.ranked.rank),
                str(place.moved),
                number(place.ranked.score, digits=6),
                place.ranked.candidate.chunk.document_id,
                str(place.ranked.candidate.chunk.ordinal),
                place.ranked.candidate.chunk.title,
            )
            for column in trial.columns
            for place in column.places
        ],
    )
