"""What documents lie in this table (CSV, TSV)? Each row is one; columns are named as fields are.

The delimiter is the one under which the first row has the columns of id and text. The types of the other columns are
those in which their values agree (indexer/decoding/column_types.py), which takes a reading of its own.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from winnow.indexer.account import Account, detected_note
from winnow.indexer.corpus import Entry, Place, Refused, entry_of
from winnow.indexer.decoding.column_types import AskedTypes, ColumnType, agreed_types, typed
from winnow.indexer.decoding.encodings import Encoding, undecodable
from winnow.indexer.readers.fields import document_of, require_columns
from winnow.indexer.readers.lines import read_lines
from winnow.indexer.readers.text_corpus import TextCorpus
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.limits import RECORD_BYTES_MAX
from winnow.retrieval.records import Document, JsonValue

DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}  # by ending: the usual one
_TRIED: Final = (",", ";", "\t", "|")
_NAMES: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_HEADER_LINES_MAX: Final = 200  # lines; a quoted name of a column may hold line ends
_ANNOUNCED: Final = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # as Excel writes into the first line


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """How a table begins."""

    names: tuple[str, ...]  # of the columns, in order; empty where a column has none
    delimiter: str
    is_announced: bool  # in a line of its own above the names


@dataclass(slots=True, kw_only=True)
class _Heard:
    """What a reading found."""

    encoding: Encoding | None = None
    header: Header | None = None
    types: dict[str, ColumnType] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvCorpus(TextCorpus):
    """A header, then rows; a quoted field may hold line ends. The line of a row is the one it ends on."""

    delimiter: str  # the usual one
    types: AskedTypes = field(default_factory=AskedTypes)
    heard: _Heard = field(default_factory=_Heard, compare=False, repr=False)

    def entries(self) -> Iterator[Entry]:
        csv.field_size_limit(RECORD_BYTES_MAX)  # of the whole process; its own default of 131,072 is no long text
        header = self.heard.header = self._header()
        self.heard.types = self._types(header)
        for line, position, row in self._rows(header):
            place = Place(source=self.name, line=line)
            yield entry_of(self._made_of(header, row), place=place, position=position)

    def require_columns(self) -> None:
        """Raises `CorpusUnreadable` where the header does not name id and text, or a name twice."""
        self._header()

    def account(self) -> Account:
        notes = detected_note(self.name, self.heard.encoding)
        if self.heard.header is not None:
            notes += (self._said(self.heard.header),)
        return Account(notes=notes)

    def _header(self) -> Header:
        lines = [line for _, line in islice(self._lines(), _HEADER_LINES_MAX)]
        if not any(line.strip() for line in lines):
            raise CorpusUnreadable(f"{self.path} is empty; its first line has to name the columns")
        announced = _ANNOUNCED.fullmatch(lines[0].strip("\n"))
        if announced:
            names = _names(lines[1:], announced[1])
            require_columns([name for name in names if name], self.fields, origin=self.path)
            return Header(names=names, delimiter=announced[1], is_announced=True)
        tried = (self.delimiter, *(each for each in _TRIED if each != self.delimiter))
        found = {each: _names(lines, each) for each in tried}
        fitting = next((each for each in tried if {self.fields.id, self.fields.text} <= set(found[each])), None)
        delimiter = fitting or max(tried, key=lambda each: len(found[each]))
        require_columns([name for name in found[delimiter] if name], self.fields, origin=self.path)
        return Header(names=found[delimiter], delimiter=delimiter, is_announced=False)

    def _types(self, header: Header) -> dict[str, ColumnType]:
        fixed = {self.fields.id, self.fields.text, self.fields.title, self.fields.url}
        types = dict.fromkeys(header.names, ColumnType.TEXT)
        unknown = self.types.of_column.keys() - types.keys()
        if unknown:
            named = ", ".join(map(repr, filter(None, header.names)))
            raise CorpusUnreadable(f"{self.path} has no column {min(unknown)!r} for --types. Its columns are {named}")
        if self.types.of_others is not None:
            types = dict.fromkeys(header.names, self.types.of_others)
        elif set(header.names) - fixed - self.types.of_column.keys():
            types = agreed_types(header.names, self._whole_rows(header))
        return {**types, **self.types.of_column, **dict.fromkeys(fixed, ColumnType.TEXT)}

    def _whole_rows(self, header: Header) -> Iterator[Sequence[str]]:
        """The rows that a document can be made of, up to where the table cannot be read on."""
        try:
            for _, _, row in self._rows(header):
                if len(row) == len(header.names):
                    yield row
        except CorpusUnreadable:
            return  # the reading of the documents comes there, too, and says so

    def _rows(self, header: Header) -> Iterator[tuple[int, int, list[str]]]:
        """Line, position and cells of each row below the header."""
        position = 0

        def lines() -> Iterator[str]:
            nonlocal position
            for place, line in self._lines():
                position = place
                yield line

        rows = csv.reader(lines(), delimiter=header.delimiter, strict=True)
        above = 2 if header.is_announced else 1
        try:
            for row in rows:
                if row and above:
                    above -= 1
                elif row:
                    yield rows.line_num, position, row
        except csv.Error as error:  # where the quotes do not close, nobody knows where the next row begins
            raise CorpusUnreadable(f"{self.path}, line {rows.line_num}: {error}") from error

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Position and text of each line; bytes that are no text are surrogates in it."""
        for line in read_lines(self.source, told=self._hear):
            if line.content is None:
                raise CorpusUnreadable(f"{self.path}, line {line.number}: longer than {RECORD_BYTES_MAX} bytes")
            yield line.position, line.content.decode(errors="surrogateescape") + "\n"

    def _hear(self, encoding: Encoding) -> None:
        self.heard.encoding = encoding

    def _made_of(self, header: Header, row: list[str]) -> Document | Refused:
        if len(row) != len(header.names):
            return Refused(reason=f"{len(row)} columns, the header has {len(header.names)}")
        if any("\udc80" <= character <= "\udcff" for cell in row if not cell.isascii() for character in cell):
            assert self.heard.encoding is not None, "lines were read. This is a bug."
            return Refused(reason=undecodable(self.heard.encoding, "a byte that UTF-8 does not have"))
        record: dict[str, JsonValue] = {}
        unfit = ""
        for name, cell in zip(header.names, row, strict=True):
            try:
                record[name] = typed(cell, self.heard.types[name])
            except ValueError as error:
                unfit = unfit or f"column {name!r}: {error}"
        record.pop("", None)
        made = document_of(record, self.fields)
        return Refused(reason=unfit, id=made.id) if unfit else made

    def _said(self, header: Header) -> str:
        others = [
            name for name in header.names if name and name not in (self.fields.id, self.fields.text, self.fields.title)
        ]
        kinds = {
            kind: [name for name in others if self.heard.types[name] is kind]
            for kind in (ColumnType.NUMBER, ColumnType.BOOLEAN)
        }
        said = f"{self.name}: separated by {_NAMES.get(header.delimiter, repr(header.delimiter))}"
        for kind, names in kinds.items():
            if names:
                said += f"; {kind}: {', '.join(names)}"
        if any(kinds.values()):
            said += "; every other column is text (--types changes that)"
        unnamed = header.names.count("")
        return f"{said}; {unnamed} without a name left out." if unnamed else f"{said}."


def _names(lines: Sequence[str], delimiter: str) -> tuple[str, ...]:
    """The first row that is not blank, in this dialect; none where it is no row of it."""
    try:
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
        return tuple(cell.strip() for cell in next((row for row in rows if row), []))
    except csv.Error:
        return ()
