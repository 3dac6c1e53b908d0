"""What are the lines of this text, however long they are?

Memory is bounded by `RECORD_BYTES_MAX`: a longer line is passed over to its end without being held.
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

_SKIP_BYTES: Final = 1 << 20  # bytes held at once while an over-long line is passed over


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a text, without its line end."""

    number: int  # counts from 1
    content: bytes | None  # UTF-8, unless it is damaged; None where the line is longer than RECORD_BYTES_MAX
    position: int  # bytes of the file on disk read so far, at least those of this line; compressed where the file is


def read_lines(
    source: TextSource | Path,
    *,
    bytes_max: int = RECORD_BYTES_MAX,
    told: Callable[[Encoding], None] = lambda _encoding: None,
) -> Generator[Line, None, None]:
    """All lines of a plain, .gz or .zst file, or of the standard input. Raises `CorpusUnreadable`.

    `told` hears which encoding the text has.
    """
    if isinstance(source, Path):
        source = TextSource(path=source)
    number = 0
    try:
        with source.opened(told=told) as (raw, stream):
            while content := stream.readline(bytes_max + 2):  # two more: a line of the full length may end in CRLF
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
