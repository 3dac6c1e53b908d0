"""`winnow instructions tune`: find a better wording of an instruction on judged queries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from winnow.api.cli.options import (
    DEVICE,
    EMBEDDER,
    RERANKER,
    InstructionName,
    InstructionText,
    Json,
    TenantOption,
    Variables,
    open_tenant,
    own_name,
    switch,
    with_settings,
)
from winnow.api.cli.terminal import Column, Exit, Terminal
from winnow.api.settings import Settings
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.api.cli.tuning.run import Plan, Tuned
    from winnow.api.schemas.tuning import TuneResponse
    from winnow.retrieval.catalog.instructions import InstructionContent

SEED: Final = 2026


@with_settings("data", "candidates", "recall", *EMBEDDER, *RERANKER, *DEVICE)
def tune_instruction(
    collection: Annotated[str, typer.Argument(metavar="COLLECTION", help="Name of the collection.", callback=own_name)],
    *,
    candidates_file: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Wordings to try, one a line; lines that begin with # are left out."),
    ],
    qrels: Annotated[Path, typer.Option(metavar="FILE", help="Relevance judgements (BEIR or TREC format).")],
    queries: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Judged queries: JSON Lines with id and text, or a .tsv of id and text."),
    ],
    metric: Annotated[str, typer.Option(metavar="M", help="Measure: nDCG@k, R@k or MRR@k.")] = "nDCG@10",
    instruction: InstructionText = None,
    instruction_name: InstructionName = None,
    variable: Variables = None,
    draft: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Write a confirmed wording as this draft of the library.", callback=own_name),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the split and the test.")] = SEED,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    yes: Annotated[bool, switch("--yes", "-y", meaning="Do not ask for confirmation.")] = False,
    json: Json = False,
) -> None:
    """Try wordings of an instruction on judged queries, and report the best one if it is really better.

    Half of the queries choose: in each round the better half of the wordings goes on to twice as many queries. The
    other half confirms: the best wording is compared with the instruction in use (or --instruction) by a paired
    randomisation test, and reported only if it is significantly better. Else the exit code is 1. What it costs at most
    is printed before it starts.
    """
    terminal = Terminal(json=json)
    import asyncio

    from winnow.api.cli.instructions.variables import wanted_instruction
    from winnow.api.cli.tuning.run import Plan, Tuning, read_wordings
    from winnow.retrieval.measures import parse

    folder, owner = open_tenant(settings, tenant)
    library = folder.catalog.instructions
    _refuse_reserved(draft)
    plan = Plan(
        tenant=owner,
        collection=folder.catalog.collections.get(owner, collection),
        instruction=wanted_instruction(library, owner, instruction, instruction_name, variable or []),
        wordings=read_wordings(candidates_file),
        queries=queries,
        qrels=qrels,
        measure=parse(metric),
        seed=seed,
    )

    def confirm(question: str) -> None:
        if not yes:
            typer.confirm(question, abort=True, err=True)

    tuned = asyncio.run(Tuning(terminal, settings, plan, confirm).run())
    written = None
    if draft is not None and tuned.is_confirmed:
        written = library.write_draft(owner, draft, _content(plan, tuned)).reference
    _show(terminal, plan, tuned, written)
    if not tuned.is_confirmed:
        raise typer.Exit(Exit.FAILED)


def _refuse_reserved(draft: str | None) -> None:
    """Refuse a name before anything is computed that could not be written in the end. Raises `InvalidRequest`."""
    from winnow.retrieval.catalog.instructions import RESERVED_NAMES

    if draft in RESERVED_NAMES:
        raise InvalidRequest(f"--draft {draft!r} is reserved; choose another name")


def _content(plan: Plan, tuned: Tuned) -> InstructionContent:
    """A draft that reads exactly as the wording that was tried: its braces are no variables."""
    from winnow.retrieval.catalog.instructions import InstructionContent
    from winnow.retrieval.embed.embedder import DEFAULT_TASK

    assert tuned.difference is not None, "only a confirmed wording is written. This is a bug."
    task = tuned.before.embedding_task
    return InstructionContent(
        text=_escaped(tuned.best.text),
        embedding_task=None if task == DEFAULT_TASK else _escaped(task),
        note=f"Tuned on {plan.collection.name}: {plan.measure} {tuned.difference.mean:+.4f} against "
        f"{tuned.before.said}, p = {tuned.difference.p:.4f} on {tuned.confirming} queries that did not choose it.",
    )


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _show(terminal: Terminal, plan: Plan, tuned: Tuned, written: str | None) -> None:
    if terminal.is_json:
        terminal.answer({**_response(plan, tuned, written)})
        return
    terminal.table(
        [Column(name=str(plan.measure), right=True), Column(name="queries", right=True), Column(name="wording")],
        [
            *((f"{each.mean:.4f}", str(each.queries), each.text) for each in tuned.tried),
            (f"{tuned.before_mean:.4f}", str(tuned.choosing), f"in use: {tuned.before.text}"),
        ],
    )
    if (found := tuned.difference) is not None:
        terminal.say(
            f"on the {found.queries} queries that confirm: {found.mean:+.4f} (95 % interval {found.low:+.4f} to "
            f"{found.high:+.4f}, p = {found.p:.4f})"
        )
    if not tuned.is_confirmed:
        terminal.fail(f"none: {tuned.reason}")
        return
    terminal.say(f"Confirmed: {tuned.best.text}", style="bold")
    if written is not None:
        terminal.say(f"{written} is a draft; publish it with `winnow instructions publish {written}`.")


def _response(plan: Plan, tuned: Tuned, written: str | None) -> TuneResponse:
    found = tuned.difference
    return {
        "collection": plan.collection.name,
        "measure": str(plan.measure),
        "confirmed": tuned.is_confirmed,
        "winner": tuned.best.text if tuned.is_confirmed else None,
        "reason": tuned.reason,
        "draft": written,
        "before": tuned.before.text,
        "before_mean": tuned.before_mean,
        "wordings": [{"text": each.text, "mean": each.mean, "queries": each.queries} for each in tuned.tried],
        "rounds": [{"wordings": each.wordings, "queries": each.queries} for each in tuned.rounds],
        "difference": None
        if found is None
        else {"mean": found.mean, "low": found.low, "high": found.high, "p": found.p, "queries": found.queries},
        "choosing": tuned.choosing,
        "confirming": tuned.confirming,
        "candidates": tuned.candidates,
        "rerankings_max": tuned.cost.rerankings,
        "seed": plan.seed,
        "seconds": round(tuned.seconds, 3),
    }
