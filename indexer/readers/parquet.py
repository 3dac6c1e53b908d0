"""Reads Parquet files; each row is a document, columns are fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from winnow.indexer.account import NOTHING, Account
from winnow.indexer.corpus import Entry, Place, Refused, make_entry
from winnow.indexer.decoding.arrow_values import Unfit, convert_rows
from winnow.indexer.decoding.streams import require_file, shown_path
from winnow.indexer.readers.fields import Fields, make_document, require_columns
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.records import Document, JsonValue

ROWS_AT_ONCE: Final = 256  # rows held in memory as one batch


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetCorpus:
    """A Parquet file; the line of a record is its row number, counted from 1."""

    path: Path
    fields: Fields

    @property
    def name(self) -> str:
        return shown_path(self.path.name)

    @property
    def size(self) -> int:
        with _open(self.path) as file:
            return int(file.metadata.num_rows)

    def entries(self) -> Iterator[Entry]:
        number = 0
        with _open(self.path) as file:
            require_columns(file.schema_arrow.names, self.fields, origin=self.path)
            try:
                for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                    for row, unfit in convert_rows(batch):
                        number += 1
                        place = Place(source=self.name, line=number)
                        yield make_entry(self._to_document(row, unfit), place=place, position=number)
            except (pa.ArrowException, OSError) as error:
                raise CorpusUnreadable(f"{self.path} after row {number}: {error}") from error

    def require_columns(self) -> None:
        """Raise `CorpusUnreadable` if the columns for id and text are missing, or names repeat."""
        with _open(self.path) as file:
            require_columns(file.schema_arrow.names, self.fields, origin=self.path)

    def account(self) -> Account:
        return NOTHING

    def stop(self) -> None:
        """Nothing to stop: it never waits for input."""

    def _to_document(self, row: dict[str, JsonValue], unfit: Unfit | None) -> Document | Refused:
        made = make_document(row, self.fields)
        if unfit is None:
            return made
        return Refused(reason=unfit.reason, id=made.id)


def _open(path: Path) -> pq.ParquetFile:
    """Open the file. 96-bit timestamps (Spark) are read in microseconds: nanoseconds end in the year 2262."""
    try:
        require_file(path)
        return pq.ParquetFile(path, coerce_int96_timestamp_unit="us")
    except (pa.ArrowException, OSError) as error:
        raise CorpusUnreadable(f"{path}: {error}") from error
