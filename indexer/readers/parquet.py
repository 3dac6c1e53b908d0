"""Reads Parquet files; each row is a document, columns are fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from winnow.indexer.account import Account
from winnow.indexer.corpus import Entry
from winnow.indexer.decoding.streams import require_file, shown_path
from winnow.indexer.readers.fields import Fields
from winnow.indexer.readers.naming.columnar import decide_schema, make_records
from winnow.indexer.readers.naming.naming import Naming, SourceRecord
from winnow.retrieval.errors import CorpusUnreadable

ROWS_AT_ONCE: Final = 256  # rows held in memory as one batch


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetCorpus:
    """A Parquet file; the line of a record is its row number, counted from 1."""

    path: Path
    fields: Fields
    label: str = ""  # what its records are named after; empty: the file
    naming: Naming = field(default_factory=Naming, compare=False, repr=False)

    @property
    def name(self) -> str:
        return self.label or shown_path(self.path.name)

    @property
    def size(self) -> int:
        with _open(self.path) as file:
            return int(file.metadata.num_rows)

    def entries(self) -> Iterator[Entry]:
        self.require_columns()
        yield from self.naming.entries(self._records(), self.fields)

    def require_columns(self) -> None:
        """Raise `CorpusUnreadable` if the columns for id and text are missing, or names repeat."""
        with _open(self.path) as file:
            self.naming.decision = decide_schema(file.schema_arrow, self.fields, origin=self.path)

    def account(self) -> Account:
        return Account(notes=self.naming.notes(self.name))

    def stop(self) -> None:
        """Nothing to stop: it never waits for input."""

    def _records(self) -> Iterator[SourceRecord]:
        assert self.naming.decision is not None, "the columns were read. This is a bug."
        number = 0
        with _open(self.path) as file:
            try:
                for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                    yield from make_records(batch, self.naming.decision.fields, source=self.name, above=number)
                    number += batch.num_rows
            except (pa.ArrowException, OSError) as error:
                raise CorpusUnreadable(f"{self.path} after row {number}: {error}") from error


def _open(path: Path) -> pq.ParquetFile:
    """Open the file. 96-bit timestamps (Spark) are read in microseconds: nanoseconds end in the year 2262."""
    try:
        require_file(path)
        return pq.ParquetFile(path, coerce_int96_timestamp_unit="us")
    except (pa.ArrowException, OSError) as error:
        raise CorpusUnreadable(f"{path}: {error}") from error
