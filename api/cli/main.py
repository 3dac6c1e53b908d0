"""`winnow`: find the command, run it, and turn its outcome into an exit code.

Only the command that runs is imported, and it imports what it needs when it runs: torch and Lance take seconds.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, MutableMapping
from functools import cache
from importlib import import_module
from inspect import cleandoc
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from winnow.api.cli.standard_streams import OutputLost, abandon, flush_answer, prepare_streams
from winnow.api.cli.terminal import Exit, Terminal
from winnow.retrieval.disk_causes import FULL
from winnow.retrieval.errors import CallerError, CollectionNotFound, WinnowError, WriteFailed

EPILOG: Final = (
    "Options marked [WINNOW_...] can also be set by that environment variable or in a settings file: a flag overrides "
    "the variable, the variable overrides --config FILE. Exit codes: 0 success; 1 failure, all records rejected, or a "
    "check found a problem; 2 invalid command or input; 3 success, but records were rejected or there were none; "
    "130 interrupted."
)

COLLECTED_AFTER: Final = 100_000  # new objects; with Python's 700, looking through what imports make is half the start


class Entry(NamedTuple):
    """A command, or a group of commands."""

    place: str  # MODULE:NAME below winnow.api.cli
    summary: str  # the first paragraph of its help
    more: tuple[tuple[str, str], ...] = ()  # name and place of commands of the group that other modules hold


ENTRIES: Final = {
    "index": Entry("index:index", "Index a corpus into a collection. The collection is created if it does not exist."),
    "search": Entry(
        "search:search",
        "Search a collection: recall finds candidates, the reranker orders them under your instruction.",
    ),
    "rerank": Entry("search:rerank", "Rerank texts that you pass in, without a collection."),
    "serve": Entry("serve:serve", "Serve the HTTP API until Ctrl-C or SIGTERM."),
    "mcp": Entry(
        "client.mcp:mcp",
        "Serve search tools to a chat program, by the Model Context Protocol on standard input and output.",
    ),
    "vllm-command": Entry(
        "vllm:vllm_command",
        "Print the command line of a vLLM server for winnow: for a shell, a compose file or a systemd unit.",
    ),
    "eval": Entry(
        "eval:evaluate",
        "Measure three orders on a collection with relevance judgements: recall, as a search answers, by relevance.",
    ),
    "calibrate": Entry(
        "calibration.command:calibrate",
        "Measure the relevance above which a stated share of the shown passages is relevant.",
    ),
    "distill": Entry(
        "distill.command:distill", "Train a small reranker for a collection on the scores of a large one."
    ),
    "verify": Entry(
        "admin:verify", "Check every checksum, count and vector of a data folder. Exits with 1 if something is wrong."
    ),
    "snapshot": Entry(
        "snapshot:snapshot",
        "Copy a collection to a folder or a bucket, with a checksum of every file. Writes continue meanwhile.",
    ),
    "restore": Entry("snapshot:restore", "Restore a collection from a snapshot, under its old name or another."),
    "usage": Entry("quotas:usage", "Show what tenants used per day: requests, searches, tokens, documents."),
    "audit": Entry(
        "access:audit", "Show changes to keys, tenants, limits, grants, collections and instructions, newest first."
    ),
    "doctor": Entry(
        "admin:doctor",
        "Check the installation: versions, devices, data, and whether the models give the answers they are known to "
        "give.",
    ),
    "demo": Entry(
        "eval:demo",
        "Index Python's documentation and a bilingual corpus, search both, and show what an instruction changes.",
    ),
    "catalog": Entry("catalog:catalog", "Show, upgrade, downgrade and copy the database of the catalog."),
    "collections": Entry(
        "collections.commands:collections",
        "List, show, change and delete collections.",
        (
            ("set-rerank-fields", "collection_fields:set_rerank_fields"),
            ("set-embed-fields", "collection_fields:set_embed_fields"),
            ("adopt", "adopt:adopt_collections"),
        ),
    ),
    "generations": Entry(
        "generations:generations",
        "List, explain, roll back, build and clean up the generations (published builds) of an index.",
    ),
    "instructions": Entry(
        "instructions.shadows:instructions",
        "Write, publish, compare and try instructions for the reranker.",
        (("tune", "tuning.command:tune_instruction"),),
    ),
    "stability": Entry("stability.webhook:stability", "Watch whether rankings move, and why."),
    "judgments": Entry(
        "judgments.command:judgments",
        "Store, list, export and delete judgments: which documents answer a query.",
        (("label", "judgments.label:label"),),
    ),
    "tenants": Entry("access:tenants", "Create, list, disable and enable tenants."),
    "keys": Entry("access:keys", "Create, list, rotate and revoke API keys."),
    "grants": Entry("access:grants", "Let other tenants search a collection, and revoke that."),
    "limits": Entry("quotas:limits", "Show and change the limits of tenants."),
}


class Commands(MutableMapping[str, Any]):
    """The commands by name, each imported when it is looked up. Also holds what typer adds."""

    def __init__(self) -> None:
        self._added: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self._added[name] if name in self._added else load(name)

    def __setitem__(self, name: str, command: Any) -> None:
        self._added[name] = command

    def __delitem__(self, name: str) -> None:
        del self._added[name]

    def __iter__(self) -> Iterator[str]:
        yield from ENTRIES
        yield from self._added

    def __len__(self) -> int:
        return len(ENTRIES) + len(self._added)


class Root(TyperGroup):
    """`winnow` without a command. Its help shows the summaries of the table and imports nothing."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Commands()
        self._is_help = False

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        if self._is_help and cmd_name in ENTRIES:
            return TyperCommand(cmd_name, help=ENTRIES[cmd_name].summary)
        return self.commands.get(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._is_help = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._is_help = False


@cache
def load(name: str) -> Any:
    """Import a command and return it as typer makes it. Raises `KeyError` for an unknown name."""
    entry = ENTRIES[name]
    found = _find(entry.place)
    around = typer.Typer()
    around.callback()(_nothing)  # so that it is a group, even of one command
    if isinstance(found, typer.Typer):
        for each, place in entry.more:
            command = _find(place)
            found.command(each, help=_reflowed(command.__doc__ or ""))(command)
        around.add_typer(found, name=name)
    else:
        around.command(name, help=_reflowed(found.__doc__ or ""))(found)
    return typer.main.get_group(around).commands[name]


def _find(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"winnow.api.cli.{module}"), name)


def _nothing() -> None:
    pass


app = typer.Typer(
    name="winnow",
    help="Two-stage retrieval: vector recall, then a reranker that follows your instruction.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    cls=Root,
)


def _reflowed(text: str) -> str:
    """Join the lines of each paragraph, so that help wraps at the terminal's width, not where the source does."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in cleandoc(text).split("\n\n"))


def _show_version(value: bool) -> None:  # noqa: FBT001  (typer calls it so)
    if value:
        from winnow import __version__

        Terminal().lines(f"winnow {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", metavar="", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line. Our own errors become a sentence and an exit code, all others a traceback."""
    gc.set_threshold(COLLECTED_AFTER)
    prepare_streams()
    try:
        code = _exit_code()
        flush_answer()
    except OutputLost as lost:
        if not lost.is_read_no_more:
            Terminal().fail(f"cannot write the output: {lost}")
        if sys.stdout is not None:
            abandon(sys.stdout)
        code = Exit.FAILED
    gc.freeze()  # else Python looks for cycles in all that was loaded, which it frees anyway: half a second
    sys.exit(code)


def _exit_code() -> int:
    try:
        app()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else Exit.FAILED if ended.code else 0
    except KeyboardInterrupt:  # before typer looks for it
        return Exit.INTERRUPTED
    except WinnowError as error:
        Terminal().fail(error.message + _hint(error))
        return Exit.USAGE if isinstance(error, CallerError) else Exit.FAILED
    except OSError as error:
        if error.errno not in FULL:
            raise
        Terminal().fail(WriteFailed(str(error)).message)  # such as one of a library's temporary files
        return Exit.FAILED
    return 0


def _hint(error: WinnowError) -> str:
    """The next step, if there is one."""
    if isinstance(error, CollectionNotFound) and error.place is not None:
        return f". Run 'winnow collections list --data {error.place}' to see all"
    return ""


if __name__ == "__main__":
    main()
