"""Reads tables (CSV, TSV). Each row is a document, columns are fields.

The delimiter is the one that gives the first row columns for id and text. The types of the other columns come from
their values (indexer/decoding/column_types.py), which takes an extra pass over the file.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from winnow.indexer.account import Account
from winnow.indexer.corpus import Entry, Place, Refused, make_entry
from winnow.indexer.decoding.column_types import ColumnType, RequestedTypes, convert_cell, infer_types
from winnow.indexer.decoding.encodings import Encoding, detection_notes, undecodable
from winnow.indexer.readers.fields import make_document, require_columns
from winnow.indexer.readers.lines import read_lines
from winnow.indexer.readers.text_corpus import TextCorpus
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.limits import RECORD_BYTES_MAX
from winnow.retrieval.records import Document, JsonValue

DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}  # usual delimiter by file extension
_TRIED: Final = (",", ";", "\t", "|")
_NAMES: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_HEADER_LINES_MAX: Final = 200  # lines; a quoted column name may contain line ends
_ANNOUNCED: Final = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # Excel writes this as the first line


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first row of a table and its delimiter."""

    names: tuple[str, ...]  # column names in order; empty if a column has none
    delimiter: str
    is_announced: bool  # by a line of its own above the names


@dataclass(slots=True, kw_only=True)
class _Detected:
    """What a reading detected."""

    encoding: Encoding | None = None
    header: Header | None = None
    types: dict[str, ColumnType] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvCorpus(TextCorpus):
    """A header, then rows; a quoted field may contain line ends. A record's line is the one its row ends on."""

    delimiter: str  # the usual one
    types: RequestedTypes = field(default_factory=RequestedTypes)
    detected: _Detected = field(default_factory=_Detected, compare=False, repr=False)

    def entries(self) -> Iterator[Entry]:
        csv.field_size_limit(RECORD_BYTES_MAX)  # for the whole process; the default of 131,072 is too short for a text
        header = self.detected.header = self._header()
        self.detected.types = self._types(header)
        for line, position, row in self._rows(header):
            place = Place(source=self.name, line=line)
            yield make_entry(self._to_document(header, row), place=place, position=position)

    def require_columns(self) -> None:
        """Raise `CorpusUnreadable` if the header lacks a column for id or text, or repeats a name."""
        self._header()

    def account(self) -> Account:
        notes = detection_notes(self.name, self.detected.encoding)
        if self.detected.header is not None:
            notes += (self._describe(self.detected.header),)
        return Account(notes=notes)

    def _header(self) -> Header:
        lines = [line for _, line in islice(self._lines(), _HEADER_LINES_MAX)]
        if not any(line.strip() for line in lines):
            raise CorpusUnreadable(f"{self.path} is empty; its first line must name the columns")
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
            types = infer_types(header.names, self._whole_rows(header))
        return {**types, **self.types.of_column, **dict.fromkeys(fixed, ColumnType.TEXT)}

    def _whole_rows(self, header: Header) -> Iterator[Sequence[str]]:
        """Yield the rows that can become documents, as far as the table can be read."""
        try:
            for _, _, row in self._rows(header):
                if len(row) == len(header.names):
                    yield row
        except CorpusUnreadable:
            return  # the reading of the documents gets there, too, and reports it

    def _rows(self, header: Header) -> Iterator[tuple[int, int, list[str]]]:
        """Yield line, position and cells of each row below the header."""
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
        except csv.Error as error:  # after an unclosed quote it is unknown where the next row begins
            raise CorpusUnreadable(f"{self.path}, line {rows.line_num}: {error}") from error

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Yield position and text of each line; undecodable bytes are surrogates."""
        for line in read_lines(self.source, on_encoding=self._note_encoding):
            if line.content is None:
                raise CorpusUnreadable(f"{self.path}, line {line.number}: longer than {RECORD_BYTES_MAX} bytes")
            yield line.position, line.content.decode(errors="surrogateescape") + "\n"

    def _note_encoding(self, encoding: Encoding) -> None:
        self.detected.encoding = encoding

    def _to_document(self, header: Header, row: list[str]) -> Document | Refused:
        if len(row) != len(header.names):
            return Refused(reason=f"{len(row)} columns, but the header has {len(header.names)}")
        if any("\udc80" <= character <= "\udcff" for cell in row if not cell.isascii() for character in cell):
            assert self.detected.encoding is not None, "lines were read. This is a bug."
            return Refused(reason=undecodable(self.detected.encoding, "a byte that is not valid in UTF-8"))
        record: dict[str, JsonValue] = {}
        unfit = ""
        for name, cell in zip(header.names, row, strict=True):
            try:
                record[name] = convert_cell(cell, self.detected.types[name])
            except ValueError as error:
                unfit = unfit or f"column {name!r}: {error}"
        record.pop("", None)
        made = make_document(record, self.fields)
        return Refused(reason=unfit, id=made.id) if unfit else made

    def _describe(self, header: Header) -> str:
        others = [
            name for name in header.names if name and name not in (self.fields.id, self.fields.text, self.fields.title)
        ]
        kinds = {
            kind: [name for name in others if self.detected.types[name] is kind]
            for kind in (ColumnType.NUMBER, ColumnType.BOOLEAN)
        }
        said = f"{self.name}: separated by {_NAMES.get(header.delimiter, repr(header.delimiter))}"
        for kind, names in kinds.items():
            if names:
                said += f"; {kind}: {', '.join(names)}"
        if any(kinds.values()):
            said += "; all other columns are text (change that with --types)"
        unnamed = header.names.count("")
        return f"{said}; {unnamed} unnamed columns were ignored." if unnamed else f"{said}."


def _names(lines: Sequence[str], delimiter: str) -> tuple[str, ...]:
    """The first row that is not blank, split at this delimiter; empty if it is malformed."""
    try:
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
        return tuple(cell.strip() for cell in next((row for row in rows if row), []))
    except csv.Error:
        return ()
