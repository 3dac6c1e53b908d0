"""Reads text line by line, whatever the length of a line.

Memory is bounded by `RECORD_BYTES_MAX`: a longer line is skipped to its end without being held.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from winnow.indexer.decoding.encodings import Encoding
from winnow.indexer.decoding.streams import TextSource
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.limits import RECORD_BYTES_MAX

_SKIP_BYTES: Final = 1 << 20  # bytes held at once while skipping a line that is too long


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of text, without its line end."""

    number: int  # counted from 1
    content: bytes | None  # UTF-8, unless it is damaged; None if the line is longer than RECORD_BYTES_MAX
    position: int  # bytes read from disk so far, at least to the end of this line (compressed, if the file is)


def read_lines(
    source: TextSource | Path,
    *,
    bytes_max: int = RECORD_BYTES_MAX,
    on_encoding: Callable[[Encoding], None] = lambda _encoding: None,
) -> Generator[Line, None, None]:
    """Yield all lines of a plain, .gz or .zst file, or of standard input. Raises `CorpusUnreadable`.

    `on_encoding` is called with the encoding of the text.
    """
    if isinstance(source, Path):
        source = TextSource(path=source)
    number = 0
    try:
        with source.opened(on_encoding=on_encoding) as (raw, stream):
            while content := stream.readline(bytes_max + 2):  # two more: a line of full length may end in CRLF
                number += 1
                bare = content.rstrip(b"\r\n")
                too_long = len(bare) > bytes_max
                if not content.endswith(b"\n"):
                    _pass_over_rest(stream)
                yield Line(number=number, content=None if too_long else bare, position=_position(raw))
    except (OSError, EOFError, zlib.error) as error:  # pyarrow's stream errors are OSErrors too
        raise CorpusUnreadable(f"{source.path} after line {number}: {error}") from error


def _pass_over_rest(stream: BinaryIO) -> None:
    while (piece := stream.readline(_SKIP_BYTES)) and not piece.endswith(b"\n"):
        pass


def _position(raw: BinaryIO) -> int:
    return raw.tell() if raw.seekable() else 0
