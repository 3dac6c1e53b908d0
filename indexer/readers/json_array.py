"""Reads .json files: JSON lines, one array, or values one after the other over several lines.

Arrays are split as they are read, so memory is bounded by `RECORD_BYTES_MAX` here, too.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from winnow.indexer.decoding.streams import TextSource
from winnow.indexer.readers.fields import Fields
from winnow.indexer.readers.jsonl import JsonCorpus, JsonLinesCorpus
from winnow.indexer.readers.lines import read_lines
from winnow.indexer.readers.naming.naming import Naming, SourceRecord
from winnow.retrieval.errors import CorpusUnreadable

_BLOCK_BYTES: Final = 1 << 16
_BLANKS: Final = b" \t\r\n"
_OUTSIDE: Final = re.compile(rb'["{}\[\],]')
_IN_STRING: Final = re.compile(rb'["\\]')


def json_corpus(
    path: Path, *, fields: Fields, encoding: str | None = None, label: str = "", naming: Naming | None = None
) -> JsonLinesCorpus | JsonValuesCorpus:
    """Choose the reader by the first line. Raises `CorpusUnreadable`."""
    lines = read_lines(TextSource(path=path, encoding=encoding))
    first = next((line.content for line in lines if line.content is None or line.content.strip()), b"")
    lines.close()
    bare = b"[" if first is None else first.strip()
    is_one_line = not bare.startswith((b"[", b"{")) or (bare.startswith(b"{") and bare.endswith(b"}"))
    kind = JsonLinesCorpus if is_one_line else JsonValuesCorpus
    return kind(path=path, fields=fields, encoding=encoding, label=label, naming=naming or Naming())


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonValuesCorpus(JsonCorpus):
    """The objects of an array, or consecutive objects. A record's line is the one it begins on."""

    def records(self) -> Iterator[SourceRecord]:
        splitter = _Splitter(bytes_max=self.record_bytes_max)
        try:
            with self.source.opened(on_encoding=self.detected.append) as (raw, stream):
                while block := stream.read(_BLOCK_BYTES):
                    for line, content in splitter.split_block(block):
                        yield self.make_record(content, line=line, position=raw.tell(), unit="record")
        except (OSError, EOFError, zlib.error) as error:
            raise CorpusUnreadable(f"{self.path} after line {splitter.line}: {error}") from error
        if splitter.is_open:
            raise CorpusUnreadable(f"{self.path} ends in the middle of a value; the file may be incomplete")


class _Splitter:
    """Finds where the values of an array, or of a stream of objects, end, without parsing them."""

    def __init__(self, *, bytes_max: int) -> None:
        self.line = 1
        self._bytes_max = bytes_max
        self._is_array: bool | None = None  # None until the first byte that is not whitespace
        self._is_over = False  # after the end of the array
        self._depth = 0
        self._is_in_string = False
        self._skips_one = False  # the byte after a backslash is in the next block
        self._begun = bytearray()  # what was read of the current value
        self._begun_on = 1
        self._is_too_long = False

    @property
    def is_open(self) -> bool:
        return self._depth > 0 or self._is_in_string or bool(self._begun.strip())

    def split_block(self, block: bytes) -> Iterator[tuple[int, bytes | None]]:
        """Yield line and content of each value that ends in this block; None as content if it is too long."""
        place = 0
        if self._is_array is None:
            bare = block.lstrip(_BLANKS)
            if not bare:
                self.line += block.count(b"\n")
                self._begun_on = self.line
                return
            self._is_array = bare.startswith(b"[")
            if self._is_array:
                place = len(block) - len(bare) + 1
                self.line += block.count(b"\n", 0, place)
                self._begun_on, self._depth = self.line, 1
        if self._skips_one:
            self._skips_one = False
            self._keep(block[place : place + 1])
            place += 1
        while place < len(block):
            found = (_IN_STRING if self._is_in_string else _OUTSIDE).search(block, place)
            end = found.end() if found else len(block)
            ends_value = self._step(found[0]) if found else False
            escaped = found is not None and found[0] == b"\\"
            if escaped:
                self._skips_one = end == len(block)
                end = min(end + 1, len(block))
            is_separator = ends_value and self._is_array
            self._keep(block[place : end - 1 if is_separator else end])
            self.line += block.count(b"\n", place, end)
            place = end
            if ends_value:
                yield from self._take_value()

    def _step(self, byte: bytes) -> bool:
        """Whether a value ends here: before this byte in an array, with it elsewhere."""
        if self._is_over:
            raise CorpusUnreadable(f"line {self.line}: unexpected content after the end of the array")
        if byte == b'"':
            self._is_in_string = not self._is_in_string
            return False
        if self._is_in_string:
            return False
        if byte in b"{[":
            self._depth += 1
            return False
        if byte == b",":
            return self._depth == 1 and bool(self._is_array)
        self._depth -= 1
        if self._depth < 0:
            raise CorpusUnreadable(f"line {self.line}: a closing bracket has no opening one")
        self._is_over = bool(self._is_array) and self._depth == 0
        return self._depth == 0

    def _keep(self, piece: bytes) -> None:
        if not self._is_too_long:
            self._begun += piece
            self._is_too_long = len(self._begun) > self._bytes_max

    def _take_value(self) -> Iterator[tuple[int, bytes | None]]:
        whole = bytes(self._begun)
        bare = whole.strip(_BLANKS)
        line = self._begun_on + whole[: len(whole) - len(whole.lstrip(_BLANKS))].count(b"\n")
        if self._is_too_long:
            yield line, None
        elif bare or not self._is_over:  # a comma before the end of the array is tolerated
            yield line, bare
        self._begun.clear()
        self._begun_on, self._is_too_long = self.line, False
