"""Parses CSV and TSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain, islice
from typing import Final

from winnow.indexer.decoding.streams import TextSource
from winnow.indexer.readers.data_files.shown_rows import one_line, records_of, shown
from winnow.indexer.readers.documents.outline import CELL_GAP
from winnow.indexer.readers.fields import Fields
from winnow.indexer.readers.lines import read_lines
from winnow.indexer.readers.naming.table_header import DELIMITERS_TRIED
from winnow.indexer.readers.parser import Parsed, SourceFile, Unparsable
from winnow.indexer.readers.tables import DELIMITERS, CsvCorpus
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.limits import RECORD_BYTES_MAX

_SAMPLE_LINES: Final = 50  # lines that tell the delimiter


def parse(source: SourceFile) -> Iterator[Parsed]:
    """Yield a document for each row if the columns name an id and a text, else one that shows the table."""
    usual = next((each for ending, each in DELIMITERS.items() if source.name.lower().endswith(ending)), ",")
    corpus = CsvCorpus(path=source.path, fields=Fields(), encoding=source.encoding, delimiter=usual)
    try:
        corpus.require_columns()
    except CorpusUnreadable:  # no such columns: a table like any other
        yield from _table(source, usual)
    else:
        yield from records_of(corpus, source)


def _table(source: SourceFile, usual: str) -> Iterator[Parsed]:
    csv.field_size_limit(RECORD_BYTES_MAX)  # for the whole process, which is the one that parses
    lines = _lines(source)
    sample = list(islice(lines, _SAMPLE_LINES))
    delimiter = _delimiter(sample, usual)
    rows = csv.reader(chain(sample, lines), delimiter=delimiter)
    try:
        cells = (CELL_GAP.join(map(one_line, row)).strip(" |") for row in rows if row)
        first = next(cells, "")
        yield from shown(chain([first], cells), source, header=first)
    except csv.Error as error:
        raise Unparsable(f"line {rows.line_num}: {error}") from error
    except CorpusUnreadable as error:
        raise Unparsable("it is damaged or was cut off") from error


def _lines(source: SourceFile) -> Iterator[str]:
    for line in read_lines(TextSource(path=source.path, encoding=source.encoding)):
        if line.content is None:
            raise Unparsable(f"line {line.number} is longer than {RECORD_BYTES_MAX} bytes")
        yield line.content.decode(errors="replace").replace("\0", "") + "\n"


def _delimiter(sample: list[str], usual: str) -> str:
    """The one that cuts most of the first lines into the same number of cells, more than one."""

    def evenness(delimiter: str) -> tuple[int, bool]:
        widths = [len(row) for row in csv.reader(sample, delimiter=delimiter) if row]
        wide = [width for width in widths if width > 1]
        return (max(map(wide.count, set(wide))) if wide else 0, delimiter == usual)

    return max(DELIMITERS_TRIED, key=evenness)
