"""`winnow`: find the command, run it, and turn its outcome into an exit code.

Commands import what they need when they run: torch and Lance take seconds to import, `winnow --help` must not.
"""

from __future__ import annotations

import sys
from inspect import cleandoc
from typing import Annotated, Final

import typer

from winnow.api.cli.access import audit, grants, keys, tenants
from winnow.api.cli.admin import collections, doctor, verify
from winnow.api.cli.adopt import adopt_collections
from winnow.api.cli.calibration.command import calibrate
from winnow.api.cli.catalog import catalog
from winnow.api.cli.collection_fields import set_embed_fields, set_rerank_fields
from winnow.api.cli.distill.command import distill
from winnow.api.cli.eval import demo, evaluate
from winnow.api.cli.generations import generations
from winnow.api.cli.index import index
from winnow.api.cli.instructions.shadows import instructions
from winnow.api.cli.judgments.command import judgments
from winnow.api.cli.judgments.label import label
from winnow.api.cli.options import switch
from winnow.api.cli.quotas import limits, usage
from winnow.api.cli.search import rerank, search
from winnow.api.cli.serve import serve
from winnow.api.cli.snapshot import restore, snapshot
from winnow.api.cli.stability.perturb import stability
from winnow.api.cli.standard_streams import OutputLost, abandon, flush_answer, prepare_streams
from winnow.api.cli.terminal import Exit, Terminal
from winnow.api.cli.tuning.command import tune_instruction
from winnow.api.cli.vllm import vllm_command
from winnow.retrieval.disk_causes import FULL
from winnow.retrieval.errors import CallerError, CollectionNotFound, WinnowError, WriteFailed

EPILOG: Final = (
    "Options marked [WINNOW_...] can also be set by that environment variable or in a settings file: a flag overrides "
    "the variable, the variable overrides --config FILE. Exit codes: 0 success; 1 failure, all records rejected, or a "
    "check found a problem; 2 invalid command or input; 3 success, but records were rejected or there were none; "
    "130 interrupted."
)

app = typer.Typer(
    name="winnow",
    help="Two-stage retrieval: vector recall, then a reranker that follows your instruction.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
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
        bool, switch("--version", meaning="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


for command, name in (
    (index, "index"),
    (search, "search"),
    (rerank, "rerank"),
    (serve, "serve"),
    (vllm_command, "vllm-command"),
    (evaluate, "eval"),
    (calibrate, "calibrate"),
    (distill, "distill"),
    (verify, "verify"),
    (snapshot, "snapshot"),
    (restore, "restore"),
    (usage, "usage"),
    (audit, "audit"),
    (doctor, "doctor"),
    (demo, "demo"),
):
    app.command(name, help=_reflowed(command.__doc__ or ""))(command)
for command, name in ((set_rerank_fields, "set-rerank-fields"), (set_embed_fields, "set-embed-fields")):
    collections.command(name, help=_reflowed(command.__doc__ or ""))(command)
instructions.command("tune", help=_reflowed(tune_instruction.__doc__ or ""))(tune_instruction)
collections.command("adopt", help=_reflowed(adopt_collections.__doc__ or ""))(adopt_collections)
judgments.command("label", help=_reflowed(label.__doc__ or ""))(label)
app.add_typer(catalog, name="catalog")
app.add_typer(collections, name="collections")
app.add_typer(generations, name="generations")
app.add_typer(instructions, name="instructions")
app.add_typer(stability, name="stability")
app.add_typer(judgments, name="judgments")
app.add_typer(tenants, name="tenants")
app.add_typer(keys, name="keys")
app.add_typer(grants, name="grants")
app.add_typer(limits, name="limits")


def main() -> None:
    """Run the command line. Our own errors become a sentence and an exit code, all others a traceback."""
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
    sys.exit(code)


def _exit_code() -> int:
    try:
        app()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else Exit.FAILED if ended.code else 0
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
