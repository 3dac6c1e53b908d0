"""Parses Parquet files."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from winnow.indexer.readers.data_files.shown_rows import one_line, records_of, shown
from winnow.indexer.readers.documents.outline import CELL_GAP
from winnow.indexer.readers.fields import Fields
from winnow.indexer.readers.parquet import ROWS_AT_ONCE, ParquetCorpus
from winnow.indexer.readers.parser import Parsed, SourceFile, Unparsable
from winnow.retrieval.errors import CorpusUnreadable


def parse(source: SourceFile) -> Iterator[Parsed]:
    """Yield a document for each row if the columns name an id and a text, else one that shows the table."""
    corpus = ParquetCorpus(path=source.path, fields=Fields())
    try:
        corpus.require_columns()
    except CorpusUnreadable:
        yield from _table(source)
    else:
        yield from records_of(corpus, source)


def _table(source: SourceFile) -> Iterator[Parsed]:
    try:
        with pq.ParquetFile(source.path, coerce_int96_timestamp_unit="us") as file:
            header = CELL_GAP.join(map(one_line, file.schema_arrow.names))
            yield from shown(_rows(file, header), source, header=header)
    except (pa.ArrowException, OSError) as error:
        raise Unparsable(f"it is damaged or was cut off ({one_line(error)[:200]})") from error


def _rows(file: pq.ParquetFile, header: str) -> Iterator[str]:
    yield header
    for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield CELL_GAP.join("" if cell is None else one_line(cell) for cell in row)
