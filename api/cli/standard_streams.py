"""Standard input and output in every state: closed, full, a broken pipe, any encoding.

Characters that the output's encoding lacks are replaced. If the output cannot be written, the command ends with exit
code 1 and a sentence, never with a traceback.
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
    """The file behind standard output. Any failure to write raises `OutputLost`."""

    def write(self, content: Buffer) -> int:
        try:
            return super().write(content)
        except OSError as error:
            raise OutputLost(f"{error.strerror}", is_read_no_more=isinstance(error, BrokenPipeError)) from error


class OutputLost(Exception):
    """Standard output cannot be written."""

    def __init__(self, reason: str, *, is_read_no_more: bool = False) -> None:
        super().__init__(reason)
        self.is_read_no_more = is_read_no_more  # the next program in the pipe closed it: no error to report


def prepare_streams() -> None:
    """Open closed standard streams. Call this before opening files: the next file would get their number."""
    for number in _STANDARD:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    if isinstance(sys.stdout, io.TextIOWrapper):
        encoding, is_terminal = sys.stdout.encoding, sys.stdout.isatty()
        file = io.BufferedWriter(_AnswerFile(sys.stdout.fileno(), "w", closefd=False))
        sys.stdout = io.TextIOWrapper(file, encoding, errors="replace", line_buffering=is_terminal)
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="replace")


@contextlib.contextmanager
def writing_answer() -> Iterator[None]:
    """Flush standard output at the end of the block. Raises `OutputLost`."""
    if sys.stdout is None:
        raise OutputLost("standard output is closed")
    yield
    sys.stdout.flush()


def print_text(text: str) -> None:
    """Raises `OutputLost`."""
    with writing_answer():
        sys.stdout.write(text)


def print_json(text: str) -> None:
    """Print JSON; escape characters that the output's encoding lacks. Raises `OutputLost`."""
    with writing_answer():
        if not text.isascii() and not _has_all_characters(sys.stdout.encoding):
            text = json.dumps(json.loads(text), indent=2) + "\n"
        sys.stdout.write(text)


def flush_answer() -> None:
    """Flush standard output. Raises `OutputLost`."""
    if sys.stdout is not None:
        sys.stdout.flush()


def standard_input() -> bytes:
    """Read all of standard input. Raises `InvalidRequest` if it is closed."""
    if sys.stdin is None:
        raise InvalidRequest("standard input is closed")
    return sys.stdin.buffer.read()


def lines_of_input() -> list[str]:
    """Read the lines of standard input that are not blank. Raises `InvalidRequest` if it is closed or not text."""
    from winnow.indexer.decoding.encodings import decode_text

    text, _, reason = decode_text(standard_input())
    if text is None:
        raise InvalidRequest(f"standard input is {reason.partition(';')[0]}")
    return [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]


def standard_input_line() -> str:
    """Read the next line of standard input. Raises `InvalidRequest` if it is closed or not text."""
    if sys.stdin is None:
        raise InvalidRequest("standard input is closed")
    try:
        return sys.stdin.readline().strip()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"standard input is not {error.encoding}") from error


def _has_all_characters(encoding: str | None) -> bool:
    return encoding is None or codecs.lookup(encoding).name.startswith("utf")


def abandon(stream: TextIO) -> None:
    """Discard what is still buffered, so that the interpreter does not fail on it at exit."""
    with contextlib.suppress(OSError):  # a stream in memory has no number
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
