"""What are the lines of this file, whatever its compression and however long they are?

Memory is bounded by `RECORD_BYTES_MAX`: a longer line is passed over to its end without being held.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

import pyarrow as pa

from retrieval.errors import CorpusUnreadable
from retrieval.limits import RECORD_BYTES_MAX

STANDARD_INPUT: Final = Path("-")
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_SKIP_BYTES: Final = 1 << 20  # bytes held at once while an over-long line is passed over


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a file, without its line end."""

    number: int  # counts from 1
    content: bytes | None  # None where the line is longer than RECORD_BYTES_MAX
    position: int  # bytes of the file on disk read so far, at least those of this line; compressed where the file is


def read_lines(path: Path, *, bytes_max: int = RECORD_BYTES_MAX) -> Iterator[Line]:
    """All lines of a plain, .gz or .zst file, or of the standard input. Raises `CorpusUnreadable`."""
    number = 0
    try:
        with _opened(path) as (raw, stream):
            while content := stream.readline(bytes_max + 2):  # two more: a line of the full length may end in CRLF
                number += 1
                bare = content.rstrip(b"\r\n")
                if number == 1:
                    bare = bare.removeprefix(BYTE_ORDER_MARK)
                too_long = len(bare) > bytes_max
                if not content.endswith(b"\n"):
                    _pass_over_rest(stream)
                yield Line(number=number, content=None if too_long else bare, position=_position(raw))
    except (OSError, EOFError, zlib.error) as error:  # pyarrow's stream errors are OSErrors too
        raise CorpusUnreadable(f"{path} after line {number}: {error}") from error


def size_of(path: Path) -> int | None:
    """Bytes on disk, the scale of `Line.position`; None for the standard input."""
    if path == STANDARD_INPUT:
        return None
    try:
        return path.stat().st_size
    except OSError as error:
        raise CorpusUnreadable(f"{path}: {error.strerror}") from error


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """The file itself, and the stream of its decompressed bytes."""
    if path == STANDARD_INPUT:
        yield sys.stdin.buffer, sys.stdin.buffer
        return
    with path.open("rb") as raw:
        if path.suffix.lower() == ".gz":
            with gzip.GzipFile(fileobj=raw) as stream:
                yield raw, cast("BinaryIO", stream)
        elif path.suffix.lower() == ".zst":
            decompressed = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
            yield raw, cast("BinaryIO", io.BufferedReader(decompressed))
        else:
            yield raw, raw


def _pass_over_rest(stream: BinaryIO) -> None:
    while (piece := stream.readline(_SKIP_BYTES)) and not piece.endswith(b"\n"):
        pass


def _position(raw: BinaryIO) -> int:
    return raw.tell() if raw.seekable() else 0
