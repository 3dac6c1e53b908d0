"""`winnow instructions preview`: show the prompt that a reranker reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from winnow.api.cli.instructions.library import instructions, read_bytes
from winnow.api.cli.options import Json, TenantOption, collection_name, open_tenant, switch, with_settings
from winnow.api.cli.terminal import Terminal
from winnow.api.formatting import flat, plain
from winnow.api.settings import Settings
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.api.library.instructions import AppliedInstruction
    from winnow.api.search.preview import Preview

__all__ = ["instructions"]  # the group, with this command in it

VariableOption = Annotated[
    list[str] | None,
    typer.Option("--variable", metavar="NAME=VALUE", help="Value for a variable of the instructions; repeatable."),
]


@instructions.command("preview")
@with_settings("data", "rerank_model")
def preview_instruction(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME[@VERSION]]", help="Instruction to show, drafts included.")
    ] = None,
    *,
    text: Annotated[
        str | None, typer.Option("--text", metavar="TEXT", help="Text of an instruction, instead of NAME.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="YAML file of an instruction, instead of NAME.")
    ] = None,
    variable: VariableOption = None,
    query: Annotated[
        str | None, typer.Option("--query", metavar="TEXT", help="Query in the prompt; a sample by default.")
    ] = None,
    document: Annotated[
        str | None, typer.Option("--document", metavar="TEXT", help="Document in the prompt; a sample by default.")
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option("--field", metavar="NAME=VALUE", help="Attribute of the document, read before it; repeatable."),
    ] = None,
    collection: Annotated[
        str | None,
        typer.Option(
            "--collection",
            "-c",
            metavar="NAME",
            help="Show the prompt of this collection's searches: its rerank fields and reranker.",
            callback=lambda name: None if name is None else collection_name(name),
        ),
    ] = None,
    document_id: Annotated[
        str | None,
        typer.Option(
            "--document-id", metavar="ID", help="Document of --collection in the prompt, instead of --document."
        ),
    ] = None,
    chunk: Annotated[int, typer.Option("--chunk", metavar="N", min=0, help="Which chunk of --document-id.")] = 0,
    ids: Annotated[bool, switch("--ids", meaning="Also print the token ids.")] = False,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Show the exact prompt of an instruction, with token counts. Runs no model and stores nothing."""
    terminal = Terminal(json=json)
    from winnow.api.collections.preview_passage import WantedPassage, find_passage, given_passage
    from winnow.api.schemas.instruction_requests import SAMPLE_DOCUMENT, SAMPLE_QUERY
    from winnow.api.schemas.instructions import preview_response
    from winnow.api.search.preview import previewed

    if [name, text, file].count(None) != 2:
        raise InvalidRequest("give exactly one of NAME, --text and --file")
    if document_id is not None and collection is None:
        raise InvalidRequest("--document-id needs --collection")
    instruction = _instruction(settings, tenant, name or text or "", file, variable or [], is_text=text is not None)
    fields, reranker = _parse_fields(field or []), None
    if collection is None:
        passage = given_passage(document or SAMPLE_DOCUMENT, fields)
    else:
        folder, owner = open_tenant(settings, tenant)
        wanted = WantedPassage(
            collection=collection, document_id=document_id, chunk=chunk, text=document, fields=fields
        )
        passage, reranker = find_passage(folder, owner, wanted, sample=SAMPLE_DOCUMENT)
    preview = previewed(settings, instruction, reranker=reranker, query=query or SAMPLE_QUERY, passage=passage)
    if json:
        terminal.answer(preview_response(preview, ids=ids))
    else:
        _show_preview(terminal, preview, ids=ids)


def _instruction(
    settings: Settings, tenant: str, said: str, file: Path | None, variables: Sequence[str], *, is_text: bool
) -> AppliedInstruction:
    """Return the instruction of a file, a text, or the library."""
    from winnow.api.cli.client.typed_instruction import typed_values
    from winnow.api.cli.instructions.variables import named_instruction
    from winnow.api.library.instructions import applied_content, utc_today
    from winnow.api.library.yaml_file import read_content
    from winnow.api.search.preview import to_preview
    from winnow.rerank.instruction_template import check_content

    if file is not None:
        content = check_content(read_content(read_bytes(file)))
        return applied_content(content, typed_values(content, variables), today=utc_today())
    folder, owner = open_tenant(settings, tenant, create=is_text)
    library = folder.catalog.instructions
    return to_preview(library, owner, said if is_text else named_instruction(library, owner, said, variables))


def _parse_fields(words: Sequence[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for each in words:
        name, separator, value = each.partition("=")
        if not separator or not name:
            raise InvalidRequest(f"--field {each[:80]!r}: write NAME=VALUE")
        if name in fields:
            raise InvalidRequest(f"--field {name[:80]!r} is given twice")
        fields[name] = value
    return fields


def _show_preview(terminal: Terminal, preview: Preview, *, ids: bool) -> None:
    terminal.lines(*(plain(line) for line in preview.text.split("\n")))
    if ids:
        terminal.lines("", " ".join(map(str, preview.ids)))
    parts = (
        ("prefix", preview.prefix_tokens),
        ("instruction and query", preview.question_tokens),
        ("document", preview.document_tokens),
        ("suffix", preview.suffix_tokens),
    )
    counts = ", ".join(f"{count} {part}" for part, count in parts)
    terminal.say(f"{len(preview.ids)} of at most {preview.tokens_max} tokens for {preview.model}: {counts}")
    terminal.say(f"{preview.control_tokens} control tokens, all from the prompt template")
    terminal.say(f"The query is embedded as: {flat(preview.embedding_prompt)}")
    if preview.fields_are_cut:
        terminal.warn("The fields were truncated to fit their own bound.")
    if preview.is_cut:
        terminal.warn("The document was truncated to fit.")
