"""What documents lie in this table (CSV, TSV)? Each row is one; columns are named as fields are."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from indexer.corpus import Entry, Place, Refused, entry_of
from indexer.fields import Fields, document_of
from indexer.lines import read_lines, size_of
from retrieval.errors import CorpusUnreadable
from retrieval.limits import RECORD_BYTES_MAX
from retrieval.records import Document, JsonValue

DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvCorpus:
    """A header, then rows; a quoted field may hold line ends. The line of a row is the one it ends on."""

    path: Path
    fields: Fields
    delimiter: str

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def size(self) -> int | None:
        return size_of(self.path)

    def entries(self) -> Iterator[Entry]:
        csv.field_size_limit(RECORD_BYTES_MAX)  # of the whole process; its own default of 131,072 is no long text
        position = 0

        def decoded() -> Iterator[str]:
            nonlocal position
            for line in read_lines(self.path):
                position = line.position
                if line.content is None:
                    raise CorpusUnreadable(f"{self.path}, line {line.number}: longer than {RECORD_BYTES_MAX} bytes")
                yield line.content.decode(errors="surrogateescape") + "\n"

        rows = csv.reader(decoded(), delimiter=self.delimiter, strict=True)
        try:
            header = next(rows, [])
            for row in rows:
                if row:
                    place = Place(source=self.name, line=rows.line_num)
                    yield entry_of(self._made_of(header, row), place=place, position=position)
        except csv.Error as error:  # where the quotes do not close, nobody knows where the next row begins
            raise CorpusUnreadable(f"{self.path}, line {rows.line_num}: {error}") from error

    def _made_of(self, header: list[str], row: list[str]) -> Document | Refused:
        if len(row) != len(header):
            return Refused(reason=f"{len(row)} columns, the header has {len(header)}")
        if any("\udc80" <= character <= "\udcff" for cell in row if not cell.isascii() for character in cell):
            return Refused(reason="not UTF-8")
        record: dict[str, JsonValue] = dict(zip(header, row, strict=True))
        return document_of(record, self.fields)
