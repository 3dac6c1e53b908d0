"""Parses Excel workbooks (XLSX, XLSM).

A sheet is read row by row, hidden sheets, rows and columns too. The first row that looks like column names is the
header of the rows below. A gap, or rows in columns of their own, begin another part; a part that continues a table
begins with its header once more, in place of the row above. A workbook is one document. One with more text than a
document may have is a document for each sheet (`path#SHEET`), and more for a long sheet (`path#SHEET/2`). Left out:
formulas, comments, charts, text boxes. A merged cell has its text in its first row and column.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Final

from winnow.indexer.corpus import Refused
from winnow.indexer.readers.documents.outline import CELL_GAP
from winnow.indexer.readers.documents.package import Properties, core_properties, open_package
from winnow.indexer.readers.documents.workbook import ROW_CHARACTERS_MAX, WHAT, Row, Sheet, Workbook, open_workbook
from winnow.indexer.readers.parser import Parsed, SourceFile
from winnow.indexer.readers.structured_text import StructuredText
from winnow.retrieval.limits import DOCUMENT_CHARACTERS_MAX
from winnow.retrieval.records import Document, Location, PartKind

_PIECE_CHARACTERS_MAX: Final = 1_000_000  # characters of rows in memory; longer tables become several parts
_GAP_ROWS_MAX: Final = 10  # empty rows within a part
_HEAD_ROWS: Final = 20  # rows among which a run's header is sought
_NAME_CHARACTERS_MAX: Final = 100  # characters of a column name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Rows that follow one another, without gaps."""

    text: str
    kind: PartKind
    header: str
    row: int


@dataclass(slots=True)
class _Reader:
    """Reads one sheet."""

    workbook: Workbook
    sheet: Sheet
    too_long: list[int] = field(default_factory=list)  # rows
    _header: str = ""
    _columns: tuple[int, ...] = ()  # of the table that is being read
    _lines: list[str] = field(default_factory=list)  # of the piece that is being read
    _characters: int = 0
    _kind: PartKind = PartKind.ROWS
    _first: int = 0  # row of the first line
    _next: int = 0  # row that would follow

    def pieces(self) -> Iterator[_Piece]:
        rows = self._rows()
        following = next(rows, None)
        while following is not None:
            run = _Run(first=following, rows=rows)
            stream = iter(run)
            head = list(islice(stream, _HEAD_ROWS))
            names = self._find_names(head)
            if names is None:
                yield from self._extend(chain(head, stream), self._kind_without_names(head))
            else:
                yield from self._extend(head[:names], PartKind.PROSE)
                yield from self._end()
                self._columns = _columns(head[names:])
                self._header = self._line(head[names])
                yield from self._extend(chain(head[names:], stream), PartKind.ROWS)
            following = run.after
        yield from self._end()

    def _rows(self) -> Iterator[Row]:
        for row in self.workbook.rows(self.sheet):
            if row.is_too_long:
                self.too_long.append(row.number)
            else:
                yield row

    def _extend(self, rows: Iterable[Row], kind: PartKind) -> Iterator[_Piece]:
        """Add rows to the piece, with empty lines for small gaps; yield pieces that end with this."""
        for row in rows:
            gap = row.number - self._next
            if kind is not self._kind or not 0 <= gap <= _GAP_ROWS_MAX or self._characters > _PIECE_CHARACTERS_MAX:
                yield from self._end()
            line = self._line(row) if kind is PartKind.ROWS else " ".join(row.texts)
            if self._lines:
                self._lines += [""] * gap
            else:
                repeats = kind is PartKind.ROWS and self._header not in {"", line} and row.number > 1
                self._lines += [self._header] if repeats else []
                self._kind, self._first = kind, row.number - repeats
            self._lines.append(line)
            self._next = row.number + 1
            self._characters += len(line) + 1

    def _end(self) -> Iterator[_Piece]:
        if self._lines:
            header = self._header if self._kind is PartKind.ROWS else ""
            yield _Piece(text="\n".join(self._lines), kind=self._kind, header=header, row=self._first)
        self._lines, self._characters = [], 0

    def _kind_without_names(self, head: Sequence[Row]) -> PartKind:
        """Return what a run of rows without column names of its own is; only rows under the same columns continue."""
        if all(len(row.columns) == 1 for row in head):
            return PartKind.PROSE
        columns = _columns(head)
        if not self._header or not set(columns) <= set(self._columns):
            self._columns, self._header = columns, ""
        return PartKind.ROWS

    def _find_names(self, head: Sequence[Row]) -> int | None:
        """Return which of a run's first rows names the columns."""
        width = len(_columns(head))
        for place, row in enumerate(head[:-1]):
            texts, below = set(row.texts), head[place + 1 :]
            looks_like_names = (
                not row.values
                and len(row.columns) > 1
                and 2 * len(row.columns) >= width
                and len(texts) == len(row.texts)
                and max(map(len, texts)) <= _NAME_CHARACTERS_MAX
                and len(below[0].columns) > 1
            )
            if not looks_like_names:
                continue
            names_values = any(each.values & set(row.columns) for each in below)
            if names_values or not self._header or not set(row.columns) <= set(self._columns):
                return place
            return None
        return None

    def _line(self, row: Row) -> str:
        found = dict(zip(row.columns, row.texts, strict=True))
        cells = [found.pop(column, "") for column in self._columns]
        cells += found.values()
        while cells and not cells[-1]:
            cells.pop()
        return CELL_GAP.join(cells).strip(" ")


@dataclass(slots=True, kw_only=True)
class _Run:
    """Rows with consecutive numbers."""

    first: Row
    rows: Iterator[Row]
    after: Row | None = None  # that follows a gap

    def __iter__(self) -> Iterator[Row]:
        last = self.first
        yield last
        for row in self.rows:
            if row.number != last.number + 1:
                self.after = row
                return
            last = row
            yield row


def parse(source: SourceFile) -> Iterator[Parsed]:
    """Yield the documents of a workbook; report what has no text in it."""
    with open_package(source.path, WHAT) as package:
        workbook = open_workbook(package)
        properties = core_properties(package)
        whole = StructuredText()
        readers = [_Reader(workbook, sheet) for sheet in workbook.sheets]
        if all(_add_all(whole, reader) for reader in readers):
            yield whole.document(source.name, title=properties.title, metadata=properties.metadata)
        else:
            del whole
            readers = [_Reader(workbook, sheet) for sheet in workbook.sheets]
            for reader in readers:
                yield from _documents(source.name, reader, properties)
        yield from _refused(source.name, readers)


def _add_all(built: StructuredText, reader: _Reader) -> bool:
    """Add a sheet; False as soon as the document would be too long."""
    for piece in reader.pieces():
        _add(built, piece, reader.sheet)
        if built.characters > DOCUMENT_CHARACTERS_MAX:
            return False
    return True


def _documents(name: str, reader: _Reader, properties: Properties) -> Iterator[Document]:
    """Yield a sheet as one document, or as several of the length that a document may have."""
    built, count = StructuredText(), 0

    def finish() -> Document:
        key = f"{name}#{reader.sheet.name}"
        return built.document(
            key if count == 1 else f"{key}/{count}", title=properties.title, metadata=properties.metadata
        )

    for piece in reader.pieces():
        if built.parts and built.characters + len(piece.text) + 2 > DOCUMENT_CHARACTERS_MAX:
            count += 1
            yield finish()
            built = StructuredText()
        _add(built, piece, reader.sheet)
    if built.parts:
        count += 1
        yield finish()


def _add(built: StructuredText, piece: _Piece, sheet: Sheet) -> None:
    built.add(
        piece.text,
        kind=piece.kind,
        section=(sheet.name,) if sheet.name else (),
        header=piece.header,
        location=Location(sheet=sheet.name, row=piece.row),
    )


def _refused(name: str, readers: Sequence[_Reader]) -> Iterator[Refused]:
    for reader in readers:
        key = f"{name}#{reader.sheet.name}"
        for row in reader.too_long:
            yield Refused(reason=f"row {row} has more than {ROW_CHARACTERS_MAX:,} characters", id=f"{key}!{row}")
        count = reader.workbook.without_value[reader.sheet.name]
        if count:
            yield Refused(
                reason=f"{count} formulas have no stored value. Open the workbook in Excel or LibreOffice and save it",
                id=f"{key}!formulas",
            )


def _columns(rows: Iterable[Row]) -> tuple[int, ...]:
    return tuple(sorted({column for row in rows for column in row.columns}))
