"""`winnow collections`: list, show, change and delete."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from winnow.api.cli.collections.source import collection_source, moment_of
from winnow.api.cli.options import (
    SERVICE,
    CollapseCosine,
    CollapseShingles,
    Json,
    MmrLambda,
    TenantOption,
    collapse_field,
    switch,
    with_settings,
)
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import amount
from winnow.api.settings import Settings
from winnow.retrieval.tenancy import DEFAULT_TENANT

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the collection.")]


class OnOff(StrEnum):
    """The state of a switch, as an argument."""

    ON = "on"
    OFF = "off"


collections = typer.Typer(help="List, show, change and delete collections.", no_args_is_help=True)


@collections.command("list")
@with_settings("data", *SERVICE)
def list_collections(*, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False) -> None:
    """List the collections of a data folder, or of a service."""
    terminal = Terminal(json=json)
    listed = collection_source(settings, tenant).listed()
    if json:
        terminal.answer(listed)
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
                each["name"],
                "?" if each["documents"] is None else amount(each["documents"]),
                "?" if each["chunks"] is None else amount(each["chunks"]),
                f"{each['embedder']['name']} ({each['embedder']['dimension']})",
                each["instruction"] or "",
                each["reranker"] or "",
                f"{moment_of(each['created_at']):%Y-%m-%d %H:%M}",
                each["problem"] or "",
            )
            for each in listed["collections"]
        ],
    )


@collections.command("show")
@with_settings("data", *SERVICE)
def show_collection(
    name: NameArgument, *, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False
) -> None:
    """Show a collection: its size, models, instruction, attributes, and what it takes on the disk."""
    terminal = Terminal(json=json)
    found = collection_source(settings, tenant).described(name)
    if json:
        terminal.answer(found)
        return
    fields: dict[str, Any] = {**found, "created_at": moment_of(found["created_at"]).isoformat()}
    parts = {f"embedder {name}": value for name, value in fields.pop("embedder").items()}
    disk = {f"disk: {name}": f"{size / 1e6:,.1f} MB" for name, size in (fields.pop("disk_bytes") or {}).items()}
    attributes = {f"attribute {name}": kinds for name, kinds in (fields.pop("attributes") or {}).items()}
    named = {field.replace("_", " "): value for field, value in fields.items()} | parts | disk | attributes
    terminal.table(
        [Column(name="field", style="dim"), Column(name="value")],
        [(field, _cell(value)) for field, value in named.items()],
    )


@collections.command("delete")
@with_settings("data", *SERVICE)
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
    source = collection_source(settings, tenant)
    documents = source.described(name)["documents"]
    if not yes:
        held = "an unknown number of" if documents is None else amount(documents)
        typer.confirm(f"Delete {name} with {held} documents?", abort=True, err=True)
    source.remove(name)
    if json:
        terminal.answer({"deleted": name, "documents": documents})
    else:
        terminal.say(f"Deleted {name}.")


@collections.command("set-instruction")
@with_settings("data", *SERVICE)
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
    collection_source(settings, tenant).change(name, {"instruction": instruction})
    if json:
        terminal.answer({"collection": name, "instruction": instruction})
    else:
        terminal.say(f"{name} uses {instruction or 'the default instruction'}.")


@collections.command("set-reranker")
@with_settings("data", *SERVICE, "rerank_model", "rerank_also", "rerank_templates", "model_source")
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
    source = collection_source(settings, tenant)
    if settings.url is None:
        from winnow.api.search.rerankers import refuse_unknown, refuse_unread, settings_by_name

        if reranker is not None:
            refuse_unknown(reranker, settings_by_name(settings))
        if source.described(name)["require_instruction"]:
            refuse_unread(settings, reranker, name)
    source.change(name, {"reranker": reranker})
    if json:
        terminal.answer({"collection": name, "reranker": reranker})
    else:
        terminal.say(f"{name} uses {reranker or 'the default reranker'}.")


@collections.command("set-demote-query-echo")
@with_settings("data", *SERVICE)
def set_demote_query_echo(
    name: NameArgument,
    state: Annotated[OnOff, typer.Argument(help="New state: on or off.")],
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Turn on or off that searches of a collection place passages last that hold little but the query."""
    collection_source(settings, tenant).change(name, {"demote_query_echo": state is OnOff.ON})
    _say_state(Terminal(json=json), name, "demote_query_echo", state)


@collections.command("set-require-instruction")
@with_settings("data", *SERVICE, "rerank_model", "rerank_also", "rerank_templates", "model_source")
def set_require_instruction(
    name: NameArgument,
    state: Annotated[OnOff, typer.Argument(help="New state: on or off.")],
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Turn on or off that searches of a collection are refused while its reranker reads no instruction."""
    source = collection_source(settings, tenant)
    if state is OnOff.ON and settings.url is None:
        from winnow.api.search.rerankers import refuse_unread

        refuse_unread(settings, source.described(name)["reranker"], name)
    source.change(name, {"require_instruction": state is OnOff.ON})
    _say_state(Terminal(json=json), name, "require_instruction", state)


def _say_state(terminal: Terminal, name: str, field: str, state: OnOff) -> None:
    if terminal.is_json:
        terminal.answer({"collection": name, field: state is OnOff.ON})
    else:
        terminal.say(f"{name}: {field.replace('_', '-')} is {state.value}.")


@collections.command("set-diversity")
@with_settings("data", *SERVICE)
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
    collapse = collapse_field(collapse_cosine, collapse_shingles, off=False)
    wanted = {"collapse": collapse or False, "mmr_lambda": mmr_lambda}
    now = collection_source(settings, tenant).change(name, wanted)
    limits = now["collapse"]
    if json:
        terminal.answer({"collection": name, "collapse": limits, "mmr_lambda": now["mmr_lambda"]})
        return
    cosine, shingles = (limits["cosine"], limits["shingles"]) if limits else (None, None)
    limit = {"cosine": cosine, "shingles": shingles, "MMR lambda": now["mmr_lambda"]}
    chosen = ", ".join(f"{what} {value:g}" for what, value in limit.items() if value is not None)
    terminal.say(f"{name}: {chosen or 'near-identical passages are kept, and MMR is off'}.")


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items() if part is not None)
    return "–" if value is None else str(value)
