"""Standard input and output as they may be: closed, full, a pipe that is read no more, in an encoding of its own.

What the output's encoding does not have is replaced. An answer that cannot be written ends the command with exit code
1 and a sentence, never with a traceback.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, TextIO

from winnow.retrieval.errors import InvalidRequest

if TYPE_CHECKING:
    from typing_extensions import Buffer

_STANDARD: Final = (0, 1, 2)


class _AnswerFile(io.FileIO):
    """The file behind the standard output: whatever prints to it, a failure is an `OutputLost`."""

    def write(self, content: Buffer) -> int:
        try:
            return super().write(content)
        except OSError as error:
            raise OutputLost(f"{error.strerror}", is_read_no_more=isinstance(error, BrokenPipeError)) from error


class OutputLost(Exception):
    """The answer cannot be written to the standard output."""

    def __init__(self, reason: str, *, is_read_no_more: bool = False) -> None:
        super().__init__(reason)
        self.is_read_no_more = is_read_no_more  # by the next program of a pipe, which has enough: nothing to tell


def prepare_streams() -> None:
    """Call it before any file is opened: a closed standard stream leaves its number to the next file."""
    for number in _STANDARD:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
    if isinstance(sys.stdout, io.TextIOWrapper):
        encoding, is_terminal = sys.stdout.encoding, sys.stdout.isatty()
        file = io.BufferedWriter(_AnswerFile(sys.stdout.fileno(), "w", closefd=False))
        sys.stdout = io.TextIOWrapper(file, encoding, errors="replace", line_buffering=is_terminal)
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="replace")


@contextlib.contextmanager
def writing_answer() -> Iterator[None]:
    """What is written to the standard output within has been written, or `OutputLost` is raised."""
    if sys.stdout is None:
        raise OutputLost("the standard output is closed")
    yield
    sys.stdout.flush()


def print_text(text: str) -> None:
    """Raises `OutputLost`."""
    with writing_answer():
        sys.stdout.write(text)


def print_json(text: str) -> None:
    """JSON stays itself in any encoding: what the output does not have is escaped. Raises `OutputLost`."""
    with writing_answer():
        if not text.isascii() and not _has_all_characters(sys.stdout.encoding):
            text = json.dumps(json.loads(text), indent=2) + "\n"
        sys.stdout.write(text)


def flush_answer() -> None:
    """Raises `OutputLost` where something that was printed cannot be written."""
    if sys.stdout is not None:
        sys.stdout.flush()


def standard_input() -> bytes:
    """All of it. Raises `InvalidRequest` where it is closed."""
    if sys.stdin is None:
        raise InvalidRequest("the standard input is closed; there is nothing to read")
    return sys.stdin.buffer.read()


def standard_input_line() -> str:
    """Its next line. Raises `InvalidRequest` where it is closed, or no text."""
    if sys.stdin is None:
        raise InvalidRequest("the standard input is closed; there is nothing to read")
    try:
        return sys.stdin.readline().strip()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the standard input is not {error.encoding}") from error


def _has_all_characters(encoding: str | None) -> bool:
    return encoding is None or codecs.lookup(encoding).name.startswith("utf")


def abandon(stream: TextIO) -> None:
    """What is still to be written goes nowhere, so that the interpreter's end does not fail on it again."""
    with contextlib.suppress(OSError):  # a stream in memory has no number
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
