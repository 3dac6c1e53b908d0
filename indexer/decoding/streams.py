"""Byte streams of files and standard input, decompressed and converted to UTF-8.

Undecodable input becomes bytes that are not UTF-8, so its line is rejected and the next one is read. Special files
(pipes, sockets, devices) are not opened: reading them may never end.
"""

from __future__ import annotations

import codecs
import gzip
import io
import os
import select
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, cast

from winnow.indexer.decoding.encodings import MARK_BYTES_MAX, SAMPLE_BYTES, UTF_8, Encoding, detect_encoding
from winnow.retrieval.errors import CorpusUnreadable

STANDARD_INPUT: Final = Path("-")
STOPPED_SECONDS_MAX: Final = 0.1  # a reading that waits for input notices a stop within this time
_BLOCK_BYTES: Final = 1 << 16
_MARKED: Final = "winnow-undecodable"
_KINDS: Final = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
)

codecs.register_error(_MARKED, lambda error: ("\udcff", cast("UnicodeDecodeError", error).end))


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSource:
    """Location and encoding of a text."""

    path: Path  # or `STANDARD_INPUT`
    encoding: str | None = None  # None: determined by `detect_encoding`
    stopped: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)

    @property
    def name(self) -> str:
        return "standard input" if self.path == STANDARD_INPUT else shown_path(self.path.name)

    @property
    def size(self) -> int | None:
        """Bytes on disk; None for standard input."""
        if self.path == STANDARD_INPUT:
            return None
        try:
            return self.path.stat().st_size
        except OSError as error:
            raise CorpusUnreadable(f"{self.path}: {error.strerror}") from error

    @contextmanager
    def opened(self, *, on_encoding: Callable[[Encoding], None]) -> Iterator[tuple[BinaryIO, BinaryIO]]:
        """Open the file. Yields it, and its text as a stream of UTF-8. `on_encoding` is called with the encoding."""
        with _raw(self) as raw, _decompress(self.path, raw) as stream:
            start = _read_start(stream, is_waiting=self.path == STANDARD_INPUT)
            encoding = detect_encoding(start, asked=self.encoding)
            on_encoding(encoding)
            text = io.BufferedReader(_Utf8(start, stream, encoding), _BLOCK_BYTES)
            yield raw, cast("BinaryIO", text)


def shown_path(path: str) -> str:
    """Format a path as text; bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def special_kind(mode: int) -> str | None:
    """Name the kind of a file that is not a regular file; None for a regular file."""
    if stat.S_ISREG(mode):
        return None
    return next((said for is_kind, said in _KINDS if is_kind(mode)), "neither a file nor a folder")


def require_file(path: Path) -> None:
    """Raise `CorpusUnreadable`, before opening, for what is not a regular file. Raises OSError."""
    kind = special_kind(path.stat().st_mode)
    if kind is not None:
        raise CorpusUnreadable(
            f"{shown_path(str(path))} is {kind}, not a file; to read a pipe, pipe JSON lines into `winnow index -`"
        )


@contextmanager
def _raw(source: TextSource) -> Iterator[BinaryIO]:
    if source.path == STANDARD_INPUT:
        yield cast("BinaryIO", _StandardInput(source.stopped))
        return
    require_file(source.path)
    with source.path.open("rb") as raw:
        yield raw


@contextmanager
def _decompress(path: Path, raw: BinaryIO) -> Iterator[BinaryIO]:
    match path.suffix.lower():
        case ".gz":
            with gzip.GzipFile(fileobj=raw) as stream:
                yield cast("BinaryIO", stream)
        case ".zst":
            import pyarrow as pa  # slow to load, and most corpora are not compressed

            decompressed = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
            yield cast("BinaryIO", io.BufferedReader(decompressed))
        case _:
            yield raw


def _read_start(stream: BinaryIO, *, is_waiting: bool) -> bytes:
    """Read enough to determine the encoding. If input arrives bit by bit, use what is there, to read on at once."""
    enough = MARK_BYTES_MAX if is_waiting else SAMPLE_BYTES
    start = b""
    while len(start) < enough and (block := stream.read(SAMPLE_BYTES - len(start))):
        start += block
    return start


class _StandardInput(io.RawIOBase):
    """Replaces `sys.stdin`: another thread can stop a wait for its next bytes."""

    def __init__(self, stopped: threading.Event) -> None:
        super().__init__()
        if sys.stdin is None:
            raise CorpusUnreadable("standard input is closed; pipe JSON lines into `winnow index -`")
        self._input = sys.stdin.fileno()
        self._stopped = stopped

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # as the io module calls it
        while not select.select([self._input], [], [], STOPPED_SECONDS_MAX)[0]:
            if self._stopped.is_set():
                raise CorpusUnreadable("reading was stopped")
        content = os.read(self._input, len(buffer))
        buffer[: len(content)] = content
        return len(content)


class _Utf8(io.RawIOBase):
    """A text as UTF-8 without its byte order mark. If no line ends in LF, CR ends a line."""

    def __init__(self, start: bytes, stream: BinaryIO, encoding: Encoding) -> None:
        super().__init__()
        self._stream = stream
        self._decoder = None if encoding.name == UTF_8 else codecs.getincrementaldecoder(encoding.name)(errors=_MARKED)
        self._is_at_end = False
        self._ready = self._to_utf8(start.removeprefix(encoding.mark))
        self._is_cr_a_line_end = b"\r" in self._ready[:-1] and b"\n" not in self._ready
        self._ready = self._with_line_ends(self._ready)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # as the io module calls it
        while not self._ready and not self._is_at_end:
            block = self._stream.read(_BLOCK_BYTES)
            self._is_at_end = not block
            self._ready = self._with_line_ends(self._to_utf8(block))
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _to_utf8(self, block: bytes) -> bytes:
        if self._decoder is None:
            return block
        return self._decoder.decode(block, final=self._is_at_end).encode("utf-8", "surrogatepass")

    def _with_line_ends(self, block: bytes) -> bytes:
        return block.replace(b"\r", b"\n") if self._is_cr_a_line_end else block
