"""`winnow collections`, `verify` and `doctor`: manage collections and check the deployment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from winnow.api.cli.options import (
    DEVICE,
    EMBEDDER,
    RERANKER,
    CollapseCosine,
    CollapseShingles,
    Json,
    MmrLambda,
    TenantOption,
    collapse_field,
    open_data_folder,
    open_tenant,
    switch,
    with_settings,
)
from winnow.api.cli.terminal import Column, Exit, Terminal
from winnow.api.formatting import amount
from winnow.api.settings import Settings
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.api.diagnostics.model_answers import ModelAnswers

_SHOWN_WIDTH: Final = 16  # columns of a terminal for a query or passage; a Chinese character takes two

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the collection.")]


class OnOff(StrEnum):
    """The state of a switch, as an argument."""

    ON = "on"
    OFF = "off"


collections = typer.Typer(help="List, show, change and delete collections.", no_args_is_help=True)


@collections.command("list")
@with_settings("data")
def list_collections(*, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False) -> None:
    """List the collections of a data folder."""
    terminal = Terminal(json=json)
    from winnow.api.schemas.collections import collections_response

    disk, owner = open_tenant(settings, tenant)
    described = disk.described(owner)
    if json:
        terminal.answer(collections_response(described))
        return
    terminal.table(
        [
            Column(name="name", style="bold"),
            Column(name="documents", right=True),
            Column(name="chunks", right=True),
            Column(name="model"),
            Column(name="instruction"),
            Column(name="reranker"),
            Column(name="created", style="dim"),
            Column(name="problem"),
        ],
        [
            (
                each.collection.name,
                "?" if each.documents is None else amount(each.documents),
                "?" if each.chunks is None else amount(each.chunks),
                f"{each.collection.embedder.name} ({each.collection.embedder.dimension})",
                each.collection.instruction or "",
                each.collection.reranker or "",
                f"{each.collection.created_at:%Y-%m-%d %H:%M}",
                each.problem or "",
            )
            for each in described
        ],
    )


@collections.command("show")
@with_settings("data")
def show_collection(
    name: NameArgument, *, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False
) -> None:
    """Show a collection: its size, models, instruction and attributes."""
    terminal = Terminal(json=json)
    from winnow.api.schemas.collections import collection_response

    disk, owner = open_tenant(settings, tenant)
    found = collection_response(disk.describe(disk.catalog.collections.get(owner, name)))
    if json:
        terminal.answer(found)
        return
    fields: dict[str, Any] = {**found, "created_at": found["created_at"].isoformat()}
    parts = {f"embedder {name}": value for name, value in fields.pop("embedder").items()}
    attributes = {f"attribute {name}": kinds for name, kinds in (fields.pop("attributes") or {}).items()}
    named = {field.replace("_", " "): value for field, value in fields.items()} | parts | attributes
    terminal.table(
        [Column(name="field", style="dim"), Column(name="value")],
        [(field, _cell(value)) for field, value in named.items()],
    )


@collections.command("delete")
@with_settings("data")
def delete_collection(
    name: NameArgument,
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    yes: Annotated[bool, switch("--yes", "-y", meaning="Do not ask for confirmation.")] = False,
    json: Json = False,
) -> None:
    """Delete a collection and all its documents. This cannot be undone."""
    terminal = Terminal(json=json)

    disk, owner = open_tenant(settings, tenant)
    described = disk.describe(disk.catalog.collections.get(owner, name))
    if not yes:
        held = "an unknown number of" if described.documents is None else amount(described.documents)
        typer.confirm(f"Delete {name} with {held} documents?", abort=True, err=True)
    disk.remove(owner, name)
    if json:
        terminal.answer({"deleted": name, "documents": described.documents})
    else:
        terminal.say(f"Deleted {name}.")


@collections.command("set-instruction")
@with_settings("data")
def set_instruction(
    name: NameArgument,
    instruction: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME[@VERSION]]",
            help="Published or built-in instruction; leave it out to go back to the default.",
        ),
    ] = None,
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Set the instruction for searches of a collection that name none themselves."""
    terminal = Terminal(json=json)

    disk, owner = open_tenant(settings, tenant)
    disk.change(owner, name, instruction=instruction)
    if json:
        terminal.answer({"collection": name, "instruction": instruction})
    else:
        terminal.say(f"{name} uses {instruction or 'the default instruction'}.")


@collections.command("set-reranker")
@with_settings("data", "rerank_model", "rerank_also", "rerank_templates", "model_source")
def set_reranker(
    name: NameArgument,
    reranker: Annotated[
        str | None,
        typer.Argument(
            metavar="[RERANKER]", help="Name of a configured reranker; leave it out to go back to the default."
        ),
    ] = None,
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Set the reranker of a collection. A running service uses it at once."""
    terminal = Terminal(json=json)
    from winnow.api.search.rerankers import refuse_unknown, refuse_unread, settings_by_name

    if reranker is not None:
        refuse_unknown(reranker, settings_by_name(settings))
    disk, owner = open_tenant(settings, tenant)
    if disk.catalog.collections.get(owner, name).require_instruction:
        refuse_unread(settings, reranker, name)
    disk.change(owner, name, reranker=reranker)
    if json:
        terminal.answer({"collection": name, "reranker": reranker})
    else:
        terminal.say(f"{name} uses {reranker or 'the default reranker'}.")


@collections.command("set-demote-query-echo")
@with_settings("data")
def set_demote_query_echo(
    name: NameArgument,
    state: Annotated[OnOff, typer.Argument(help="New state: on or off.")],
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Turn on or off that searches of a collection place passages last that hold little but the query."""
    disk, owner = open_tenant(settings, tenant)
    disk.change(owner, name, demote_query_echo=state is OnOff.ON)
    _say_state(Terminal(json=json), name, "demote_query_echo", state)


@collections.command("set-require-instruction")
@with_settings("data", "rerank_model", "rerank_also", "rerank_templates", "model_source")
def set_require_instruction(
    name: NameArgument,
    state: Annotated[OnOff, typer.Argument(help="New state: on or off.")],
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Turn on or off that searches of a collection are refused while its reranker reads no instruction."""
    disk, owner = open_tenant(settings, tenant)
    if state is OnOff.ON:
        from winnow.api.search.rerankers import refuse_unread

        refuse_unread(settings, disk.catalog.collections.get(owner, name).reranker, name)
    disk.change(owner, name, require_instruction=state is OnOff.ON)
    _say_state(Terminal(json=json), name, "require_instruction", state)


def _say_state(terminal: Terminal, name: str, field: str, state: OnOff) -> None:
    if terminal.is_json:
        terminal.answer({"collection": name, field: state is OnOff.ON})
    else:
        terminal.say(f"{name}: {field.replace('_', '-')} is {state.value}.")


@collections.command("set-diversity")
@with_settings("data")
def set_diversity(
    name: NameArgument,
    *,
    collapse_cosine: CollapseCosine = None,
    collapse_shingles: CollapseShingles = None,
    mmr_lambda: MmrLambda = None,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Set what searches of a collection leave out as near-identical, and whether MMR orders the rest.

    Options that are left out are turned off. A search can choose differently.
    """
    terminal = Terminal(json=json)
    from winnow.api.fields import parsed
    from winnow.api.schemas.collections import CollectionBody
    from winnow.api.schemas.diversity import limits_response

    collapse = collapse_field(collapse_cosine, collapse_shingles, off=False)
    wanted = parsed(CollectionBody, {"name": name, "collapse": collapse, "mmr_lambda": mmr_lambda}).diversity
    disk, owner = open_tenant(settings, tenant)
    disk.change(owner, name, collapse=wanted.collapse, mmr_lambda=wanted.mmr_lambda)
    if json:
        limits = limits_response(wanted.collapse)
        terminal.answer({"collection": name, "collapse": limits, "mmr_lambda": wanted.mmr_lambda})
        return
    limit = {"cosine": wanted.collapse.cosine, "shingles": wanted.collapse.shingles, "MMR lambda": wanted.mmr_lambda}
    chosen = ", ".join(f"{what} {value:g}" for what, value in limit.items() if value is not None)
    terminal.say(f"{name}: {chosen or 'near-identical passages are kept, and MMR is off'}.")


@with_settings("data", "generations_kept")
def verify(
    *,
    settings: Settings,
    repair: Annotated[
        bool,
        switch("--repair", meaning="Repair first: remove leftover files, rebuild damaged indexes from the store."),
    ] = False,
    json: Json = False,
) -> None:
    """Check every checksum, count and vector of a data folder. Exits with 1 if something is wrong.

    Files that killed processes left behind are listed, but are no fault. --repair rebuilds a damaged vector or word
    index from the store; a running service rebuilds a damaged vector index by itself. A damaged store cannot be
    repaired: restore it from a snapshot.
    """
    terminal = Terminal(json=json)
    from winnow.api.collections.index_device import index_device, index_wish
    from winnow.api.diagnostics.repair import repaired
    from winnow.api.diagnostics.verify import verified

    disk = open_data_folder(settings)
    repairs = []
    if repair:
        wish = index_wish(settings, index_device(settings))
        repairs = repaired(disk, kept=settings.generations_kept, wish=wish)
    checks = verified(disk)
    is_sound = all(check.fault is None for check in checks)
    if json:
        body = {"data": str(settings.data), "ok": is_sound, "checks": [asdict(check) for check in checks]}
        terminal.answer(body | {"repairs": [asdict(each) for each in repairs]})
    else:
        for each in repairs:
            terminal.say(f"{each.collection}: {each.did}")
        terminal.table(
            [Column(name=""), Column(name="collection", style="bold"), Column(name="part"), Column(name="result")],
            [(_mark(check.fault), check.collection, check.part, check.fault or check.found) for check in checks],
        )
        terminal.say(
            "No damage found."
            if is_sound
            else "Damage found. `winnow verify --repair` rebuilds indexes; restore a damaged store from a snapshot.",
            style="bold",
        )
    if not is_sound:
        raise typer.Exit(Exit.FAILED)


@with_settings("data", *EMBEDDER, *RERANKER, "index_device", *DEVICE)
def doctor(*, settings: Settings, json: Json = False) -> None:
    """Check the installation: versions, devices, data, and whether the models give the answers they are known to give.

    Exits with 1 if something would keep winnow from answering, or if a model's scores differ from the published ones.
    """
    terminal = Terminal(json=json)
    import asyncio

    from winnow.api.diagnostics.doctor import examined

    examination = asyncio.run(examined(settings))
    if json:
        terminal.answer(examination.response())
    else:
        terminal.table(
            [Column(name=""), Column(name="check", style="bold"), Column(name="result")],
            [(_mark(each.problem), each.what, each.problem or each.found) for each in examination.findings],
        )
        _show_model_answers(terminal, examination.answers)
        is_well = examination.is_well
        terminal.say("All checks passed." if is_well else "Some checks failed: see the lines marked ✗.", style="bold")
    if not examination.is_well:
        raise typer.Exit(Exit.FAILED)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items() if part is not None)
    return "–" if value is None else str(value)


def _mark(problem: str | None) -> str:
    return "✓" if problem is None else "✗"


def _show_model_answers(terminal: Terminal, answers: Sequence[ModelAnswers]) -> None:
    """Print each answer beside the known one, then the likely causes of those that are wrong."""
    terminal.table(
        [
            Column(name=""),
            Column(name="model", style="bold"),
            Column(name="query"),
            Column(name="passage"),
            Column(name="expected", right=True),
            Column(name="got", right=True),
            Column(name="difference", right=True),
            Column(name="bound", right=True),
            Column(name="verdict"),
        ],
        [row for each in answers for row in _rows(each, in_full=not terminal.is_rich)],
    )
    for each in answers:
        for place, cause in enumerate(each.likely_causes, start=1):
            heading = f"{each.recognised.name} on {each.runs_on}, likely causes:\n" if place == 1 else ""
            terminal.say(f"{heading}  {place}. {cause}")


def _rows(answers: ModelAnswers, *, in_full: bool) -> list[tuple[str, ...]]:
    return [
        (
            "✓" if each.verdict.is_right else "✗",
            answers.recognised.name,
            *(text if in_full else _shortened(text) for text in each.known.text),
            "–" if each.known.score is None else f"{each.known.score:.5f}",
            f"{each.got:.5f}",
            "–" if each.difference is None else f"{each.difference:+.5f}",
            "–" if each.known.score is None else f"{each.bound:g}",
            each.verdict.value,
        )
        for each in answers.comparisons
    ]


def _shortened(text: str) -> str:
    kept = _SHOWN_WIDTH if text.isascii() else _SHOWN_WIDTH // 2
    return text if len(text) <= kept else f"{text[: kept - 1].rstrip()}…"
