"""Reads tables (CSV, TSV). Each row is a document, columns are fields (naming/table_header.py).

The types of the other columns come from their values (indexer/decoding/column_types.py), which takes an extra pass over
the file.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from winnow.indexer.account import Account
from winnow.indexer.corpus import Entry, Place, Refused
from winnow.indexer.decoding.column_types import ColumnType, RequestedTypes, convert_cell, infer_types
from winnow.indexer.decoding.encodings import Encoding, detection_notes, undecodable
from winnow.indexer.readers.lines import read_lines
from winnow.indexer.readers.naming.naming import SourceRecord
from winnow.indexer.readers.naming.table_header import Header, find_header
from winnow.indexer.readers.text_corpus import TextCorpus
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.limits import RECORD_BYTES_MAX
from winnow.retrieval.records import JsonValue

DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}  # usual delimiter by file extension
_NAMES: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_HEADER_LINES_MAX: Final = 200  # lines; a quoted column name may contain line ends


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
    columns: tuple[str, ...] | None = None  # of a table without a header
    detected: _Detected = field(default_factory=_Detected, compare=False, repr=False)

    def entries(self) -> Iterator[Entry]:
        header = self.detected.header = self._header()
        self.detected.types = self._types(header)
        yield from self.naming.entries(self._records(header), self.fields)

    def require_columns(self) -> None:
        """Raise `CorpusUnreadable` if the header lacks a column for id or text, or repeats a name."""
        self._header()

    def account(self) -> Account:
        notes = detection_notes(self.name, self.detected.encoding)
        if self.detected.header is not None:
            notes += (self._describe(self.detected.header), *self.naming.notes(self.name))
        return Account(notes=notes)

    def _header(self) -> Header:
        csv.field_size_limit(RECORD_BYTES_MAX)  # for the whole process; the default of 131,072 is too short for a text
        lines = [line for _, line in islice(self._lines(), _HEADER_LINES_MAX)]
        header, self.naming.decision = find_header(
            lines, usual=self.delimiter, asked=self.fields, columns=self.columns, origin=self.path
        )
        return header

    @property
    def _named(self) -> frozenset[str]:
        assert self.naming.decision is not None, "the header was read. This is a bug."
        return self.naming.decision.fields.named

    def _types(self, header: Header) -> dict[str, ColumnType]:
        fixed = self._named
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

    def _records(self, header: Header) -> Iterator[SourceRecord]:
        for line, position, row in self._rows(header):
            content, unfit = self._parse(header, row)
            place = Place(source=self.name, line=line)
            yield SourceRecord(content=content, place=place, position=position, unfit=unfit)

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
        if header.is_literal:
            for number, (place, line) in enumerate(self._lines(), start=1):
                if line.strip():
                    yield number, place, line.removesuffix("\n").split(header.delimiter)
            return
        position = 0

        def lines() -> Iterator[str]:
            nonlocal position
            for place, line in self._lines():
                position = place
                yield line

        rows = csv.reader(lines(), delimiter=header.delimiter, strict=True)
        above = header.rows_above
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

    def _parse(self, header: Header, row: list[str]) -> tuple[dict[str, JsonValue] | Refused, str]:
        """Return the record of a row, and why a cell of it cannot be stored."""
        if len(row) != len(header.names):
            return Refused(reason=f"{len(row)} columns, but the header has {len(header.names)}"), ""
        if any("\udc80" <= character <= "\udcff" for cell in row if not cell.isascii() for character in cell):
            assert self.detected.encoding is not None, "lines were read. This is a bug."
            return Refused(reason=undecodable(self.detected.encoding, "a byte that is not valid in UTF-8")), ""
        record: dict[str, JsonValue] = {}
        unfit = ""
        for name, cell in zip(header.names, row, strict=True):
            try:
                record[name] = convert_cell(cell, self.detected.types[name])
            except ValueError as error:
                unfit = unfit or f"column {name!r}: {error}"
        record.pop("", None)
        return record, unfit

    def _describe(self, header: Header) -> str:
        others = [name for name in header.names if name and name not in self._named]
        kinds = {
            kind: [name for name in others if self.detected.types[name] is kind]
            for kind in (ColumnType.NUMBER, ColumnType.BOOLEAN)
        }
        said = f"{self.name}: separated by {_NAMES.get(header.delimiter, repr(header.delimiter))}"
        if header.note:
            said += f"; {header.note}"
        for kind, names in kinds.items():
            if names:
                said += f"; {kind}: {', '.join(names)}"
        if any(kinds.values()):
            said += "; all other columns are text (change that with --types)"
        unnamed = header.names.count("")
        return f"{said}; {unnamed} unnamed columns were ignored." if unnamed else f"{said}."
