"""`winnow collections set-rerank-fields, set-embed-fields`, and the options that choose fields elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from winnow.api.cli.collections.source import collection_source
from winnow.api.cli.options import SERVICE, Json, TenantOption, with_settings
from winnow.api.cli.terminal import Terminal
from winnow.api.settings import Settings
from winnow.retrieval.limits import FIELD_TOKENS_DEFAULT
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.retrieval.catalog.collections import FieldsChange

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the collection.")]
FieldsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FIELD]...",
        help="Attributes to read, in this order, separated by spaces or commas: title, url, id, or any field of the "
        "metadata; none resets.",
    ),
]
Tokens = Annotated[
    int | None,
    typer.Option(
        "--tokens",
        metavar="N",
        help=f"Maximum tokens of the lines; without it the bound stays, at first {FIELD_TOKENS_DEFAULT}.",
    ),
]
RerankFields = Annotated[
    str | None,
    typer.Option(
        "--rerank-fields",
        metavar="FIELD,FIELD",
        help="Attributes that the reranker reads before title and text (new collections only).",
    ),
]
EmbedFields = Annotated[
    str | None,
    typer.Option(
        "--embed-fields",
        metavar="FIELD,FIELD",
        help="Attributes that the embedder reads before title and text (new collections only).",
    ),
]
RerankFieldTokens = Annotated[
    int | None, typer.Option(metavar="N", help="Maximum tokens of the lines of --rerank-fields.")
]
EmbedFieldTokens = Annotated[
    int | None, typer.Option(metavar="N", help="Maximum tokens of the lines of --embed-fields.")
]


def parse_fields(flag: str, words: str | None, tokens: int | None) -> FieldsChange:
    """Read FIELD,FIELD: which fields are wanted. What no flag names stays. Raises `InvalidRequest`."""
    from winnow.retrieval.catalog.collections import KEEP, KEEP_FIELDS, FieldsChange
    from winnow.retrieval.document_fields import NO_CHOICE
    from winnow.retrieval.errors import InvalidRequest

    if words is None:
        if tokens is not None:
            raise InvalidRequest(f"{flag.removesuffix('s')}-tokens needs {flag}")
        return KEEP_FIELDS
    wanted = FieldsChange(names=_split_names(words), tokens_max=KEEP if tokens is None else tokens)
    wanted.of(NO_CHOICE)  # refuses what no collection can have, before anything is loaded
    return wanted


@with_settings("data", *SERVICE)
def set_rerank_fields(
    name: NameArgument,
    fields: FieldsArgument = None,
    *,
    tokens: Tokens = None,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Set the attributes that the reranker reads before title and text. A running service uses them at once."""
    changed = collection_source(settings, tenant).change(name, _changes("rerank", fields, tokens))
    _say(Terminal(json=json), name, "rerank", changed["rerank_fields"], changed["rerank_field_tokens"])


@with_settings("data", *SERVICE)
def set_embed_fields(
    name: NameArgument,
    fields: FieldsArgument = None,
    *,
    tokens: Tokens = None,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Set the attributes that the embedder reads before title and text, while the collection has no documents."""
    changed = collection_source(settings, tenant).change(name, _changes("embed", fields, tokens))
    _say(Terminal(json=json), name, "embed", changed["embed_fields"], changed["embed_field_tokens"])


def _changes(stage: str, fields: list[str] | None, tokens: int | None) -> dict[str, object]:
    """Return the fields of a change. Names that are left out reset the fields, unless the tokens alone are changed."""
    changes: dict[str, object] = {} if tokens is None else {f"{stage}_field_tokens": tokens}
    if fields is not None or tokens is None:
        changes[f"{stage}_fields"] = [name for words in fields or () for name in _split_names(words)]
    return changes


def _split_names(words: str) -> list[str]:
    """Read FIELD,FIELD; nothing names no field."""
    return [each.strip() for each in words.split(",")] if words else []


def _say(terminal: Terminal, name: str, stage: str, now: list[str], tokens: int) -> None:
    if terminal.is_json:
        terminal.answer({"collection": name, f"{stage}_fields": now, f"{stage}_field_tokens": tokens})
        return
    fields = f"{', '.join(now)} (at most {tokens} tokens), then " if now else ""
    reader = "reranker" if stage == "rerank" else "embedder"
    terminal.say(f"The {reader} of {name} reads {fields}title and text.")
