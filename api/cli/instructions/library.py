"""`winnow instructions`: write, publish and choose instructions."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from winnow.api.cli.instructions.source import instruction_source
from winnow.api.cli.options import (
    SERVICE,
    Json,
    TenantOption,
    switch,
    with_settings,
)
from winnow.api.cli.standard_streams import print_text, standard_input
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import flat, snippet
from winnow.api.settings import Settings
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.api.schemas.instructions import InstructionResponse
    from winnow.retrieval.catalog.instructions import InstructionContent

TEXT_CHARACTERS: Final = 100  # characters of a text in a list

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the instruction.")]
VersionArgument = Annotated[
    str,
    typer.Argument(metavar="NAME[@VERSION]", help="Name of the instruction, with a version if you mean an older one."),
]
TextArgument = Annotated[
    str | None,
    typer.Argument(metavar="[TEXT]", help="What counts as relevant, in a sentence or a few. English works best."),
]
File = Annotated[
    Path | None,
    typer.Option(
        "--file", metavar="FILE", help="Read the instruction from this YAML file instead of TEXT; - is stdin."
    ),
]
EmbeddingTask = Annotated[
    str | None,
    typer.Option("--embedding-task", metavar="TEXT", help="Task that queries are embedded under, in one line."),
]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="Note for readers of the library.")]

instructions = typer.Typer(help="Write, publish, compare and try instructions for the reranker.", no_args_is_help=True)


@instructions.command("list")
@with_settings("data", *SERVICE)
def list_instructions(
    *,
    built_in: Annotated[bool, switch("--built-in", meaning="List the built-in instructions instead.")] = False,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """List all versions of all instructions, in every state.

    With --json the output also holds the built-in instructions and the default.
    """
    terminal = Terminal(json=json)
    listed = instruction_source(settings, tenant).listed()
    if json:
        terminal.answer(listed)
        return
    terminal.table(
        [
            Column(name="name", style="bold", whole=True),
            Column(name="version", right=True),
            Column(name="state"),
            Column(name="text"),
        ],
        [
            (
                each["name"],
                str(each["version"]),
                each["state"],
                snippet(each["text"], characters=TEXT_CHARACTERS) if terminal.is_rich else each["text"],
            )
            for each in listed["built_in" if built_in else "instructions"]
        ],
    )
    if listed["default"] is not None:
        terminal.say(f"The default is {listed['default']}.")
    if not listed["instructions"] and not built_in:
        terminal.say("No instructions yet. --built-in lists those that come with winnow.")


@instructions.command("show")
@with_settings("data", *SERVICE)
def show_instruction(
    name: VersionArgument,
    *,
    yaml: Annotated[bool, switch("--yaml", meaning="Print YAML that --file can read.")] = False,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Show a version of an instruction; without @VERSION the newest published one."""
    terminal = Terminal(json=json)
    from winnow.retrieval.catalog.instructions import Reference

    found = instruction_source(settings, tenant).version(Reference.of(name))
    if json:
        terminal.answer(found)
    elif yaml:
        from winnow.api.library.yaml_file import content_of, written_content

        print_text(written_content(content_of(found)))
    else:
        fields: dict[str, Any] = {**found}
        variables = fields.pop("variables")
        rows = [(field.replace("_", " "), _words(value)) for field, value in fields.items() if value]
        rows += [(f"variable {each.pop('name')}", _describe(each)) for each in variables]
        terminal.table([Column(name="field", style="dim"), Column(name="value")], rows)


@instructions.command("draft")
@with_settings("data", *SERVICE)
def draft_instruction(
    name: NameArgument,
    text: TextArgument = None,
    *,
    file: File = None,
    embedding_task: EmbeddingTask = None,
    note: Note = "",
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Write or replace the draft of an instruction. Searches use it only after it is published."""

    content = _content(text, file, embedding_task, note)
    _say(Terminal(json=json), instruction_source(settings, tenant, create=True).write_draft(name, content))


@instructions.command("publish")
@with_settings("data", *SERVICE)
def publish_instruction(
    name: VersionArgument,
    text: TextArgument = None,
    *,
    file: File = None,
    embedding_task: EmbeddingTask = None,
    note: Note = "",
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Publish the draft of an instruction, or TEXT or --file directly as its next version.

    Published versions never change.
    """
    from winnow.retrieval.catalog.instructions import Reference

    source = instruction_source(settings, tenant, create=True)
    if text is None and file is None:
        published = source.publish_draft(Reference.of(name))
    else:
        published = source.publish(name, _content(text, file, embedding_task, note))
    _say(Terminal(json=json), published)


@instructions.command("retire")
@with_settings("data", *SERVICE)
def retire_instruction(
    version: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="Version to retire.")],
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Retire a version: its name then means the published version before it. NAME@VERSION still works."""
    from winnow.retrieval.catalog.instructions import Reference

    reference = Reference.of(version)
    if reference.version is None:
        raise InvalidRequest(f"which version of {version}? Write {version}@NUMBER")
    _say(Terminal(json=json), instruction_source(settings, tenant).retire(reference.name, reference.version))


@instructions.command("delete")
@with_settings("data", *SERVICE)
def delete_instruction(
    name: VersionArgument, *, tenant: TenantOption = DEFAULT_TENANT, settings: Settings, json: Json = False
) -> None:
    """Delete the draft of an instruction. Published versions stay."""
    terminal = Terminal(json=json)
    from winnow.retrieval.catalog.instructions import Reference

    reference = Reference.of(name)
    instruction_source(settings, tenant).delete_draft(reference)
    if json:
        terminal.answer({"deleted": name})
    else:
        terminal.say(f"The draft of {reference.name} is deleted.")


@instructions.command("default")
@with_settings("data", *SERVICE)
def default_instruction(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME[@VERSION]]", help="New default; leave it out to show the current one."),
    ] = None,
    *,
    clear: Annotated[bool, switch("--clear", meaning="Go back to the instruction of the model card.")] = False,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Show or set the default instruction, for searches that name none in collections that have none."""
    terminal = Terminal(json=json)

    if clear and name is not None:
        raise InvalidRequest("--clear and a name cannot be used together")
    source = instruction_source(settings, tenant)
    if clear or name is not None:
        source.set_default(name)
    default = source.default()
    if json:
        terminal.answer({"instruction": default})
    else:
        terminal.say(f"The default is {default or 'the instruction of the model card'}.")


def read_bytes(file: Path) -> bytes:
    """Read a file, or stdin for `-`. Raises `InvalidRequest`."""
    try:
        return standard_input() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{file}: {error.strerror}") from error


def _content(text: str | None, file: Path | None, task: str | None, note: str) -> InstructionContent:
    from winnow.api.fields import parsed
    from winnow.api.library.content import ContentBody
    from winnow.api.library.yaml_file import read_content

    if (text is None) == (file is None):
        raise InvalidRequest("give either TEXT or --file")
    if file is not None:
        if task is not None or note:
            raise InvalidRequest("--embedding-task and --note cannot be used with --file: write them in the file")
        return read_content(read_bytes(file))
    return parsed(ContentBody, {"text": text, "embedding_task": task, "note": note}).content


def _say(terminal: Terminal, version: InstructionResponse) -> None:
    if terminal.is_json:
        terminal.answer(version)
    else:
        terminal.say(f"{version['name']}@{version['version']} is {version['state']}.")


def _words(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _describe(variable: dict[str, object]) -> str:
    return flat("; ".join(f"{field.replace('_', ' ')}: {_words(value)}" for field, value in variable.items()))
