"""How does the command line speak? The answer goes to stdout, everything else to stderr.

In a terminal answers are tables; piped, they are lines of tab-separated fields that `cut` and `awk` read; with
--json, stdout holds one JSON object and nothing else.
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
    whole: bool = False  # on one line while there is room: what is typed again, such as an id


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever stderr is at that moment: while a line moves in the terminal, that is what keeps it whole."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class Terminal:
    """Says things to a person or to a program."""

    def __init__(self, *, json: bool = False) -> None:
        self._json = json

    @property
    def is_json(self) -> bool:
        return self._json

    @property
    def is_rich(self) -> bool:
        """Whether somebody looks at stdout."""
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
        """The JSON object of a command."""
        import orjson

        print_json(orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())

    def draw(self, renderable: RenderableType) -> None:
        with writing_answer():
            self.out.print(renderable)

    def lines(self, *lines: str) -> None:
        """Plain text to stdout, for those who read it with a program."""
        print_text("".join(f"{line}\n" for line in lines))

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
        """A table for a person, tab-separated lines below a header for a program."""
        if not self.is_rich:
            self.lines("\t".join(column.name for column in columns), *("\t".join(map(flat, row)) for row in rows))
            return
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(title) if title else None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
        for column in columns:
            justify: Literal["left", "right"] = "right" if column.right else "left"  # cells are broken, never cut
            table.add_column(column.name, justify=justify, style=column.style, no_wrap=column.whole, overflow="fold")
        for row in rows:
            table.add_row(*(Text(plain(cell)) for cell in row))  # a mere text would be read for rich's own markup
        self.draw(table)

    def say(self, text: str, *, style: str = "dim") -> None:
        """A remark, to stderr; where nobody can read it, the command goes on without."""
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
