"""Output of the command line: results to stdout, everything else to stderr.

In a terminal results are tables. In a pipe they are lines of tab-separated fields for `cut` and `awk`. With --json,
stdout holds one JSON object and nothing else.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Literal, TextIO

from winnow.api.cli.standard_streams import abandon, print_json, print_text, writing_answer
from winnow.api.formatting import flat, plain

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table."""

    name: str
    right: bool = False  # numbers
    style: str = ""
    whole: bool = False  # never wrapped while there is room: values to copy, such as an id


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to the current `sys.stderr`, which a moving progress line replaces to stay intact."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class Terminal:
    """Prints results and remarks, for a person or for a program."""

    def __init__(self, *, json: bool = False) -> None:
        self._json = json

    @property
    def is_json(self) -> bool:
        return self._json

    @property
    def is_rich(self) -> bool:
        """Whether stdout is a terminal."""
        return sys.stdout is not None and sys.stdout.isatty() and not self._json

    @property
    def out(self) -> Console:
        from rich.console import Console

        return Console(highlight=False)

    @property
    def err(self) -> Console:
        from winnow.api.cli.remark_console import RemarkConsole

        return RemarkConsole()

    def answer(self, body: Mapping[str, object]) -> None:
        """Print the JSON object of a command."""
        import orjson

        print_json(orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())

    def draw(self, renderable: RenderableType) -> None:
        with writing_answer():
            self.out.print(renderable)

    def lines(self, *lines: str) -> None:
        """Print plain text to stdout, for programs."""
        print_text("".join(f"{line}\n" for line in lines))

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
        """Print a table for a person, without its empty columns, or tab-separated lines with a header for a program."""
        if not self.is_rich:
            self.lines("\t".join(column.name for column in columns), *("\t".join(map(flat, row)) for row in rows))
            return
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(title) if title else None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
        filled = [place for place in range(len(columns)) if not rows or any(row[place] for row in rows)]
        for column in (columns[place] for place in filled):
            justify: Literal["left", "right"] = "right" if column.right else "left"  # cells wrap, they are never cut
            table.add_column(column.name, justify=justify, style=column.style, no_wrap=column.whole, overflow="fold")
        for row in rows:
            table.add_row(*(Text(plain(row[place])) for place in filled))  # rich would read markup in a plain str
        self.draw(table)

    def say(self, text: str, *, style: str = "dim") -> None:
        """Print a remark to stderr. The command continues if stderr is closed."""
        from rich.text import Text

        try:
            self.err.print(Text(plain(text), style=style), soft_wrap=True)
        except OSError:
            abandon(sys.stderr)

    def warn(self, text: str) -> None:
        self.say(text, style="yellow")

    def fail(self, text: str) -> None:
        self.say(f"winnow: {text}", style="bold red")


class Exit(IntEnum):
    """0 is done."""

    FAILED = 1  # it could not be done, every record was rejected, or a check found something
    USAGE = 2  # the command or its input is at fault; the same call fails again
    REJECTS = 3  # done, but some records did not go in, or there were none
    INTERRUPTED = 130  # 128 + SIGINT, as shells have it
