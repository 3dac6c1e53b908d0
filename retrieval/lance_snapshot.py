"""One version of a collection's chunks, as Lance holds it: where is each chunk, and what is in it?

Rows keep the order in which they were written, whatever is removed or compacted, so that chunk numbers ascend in it.
No filter is ever compiled. Rows are found by reading a column and comparing here, so that a value from outside stays
a value; that reads 100,000 document ids in 4 ms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retrieval.chunk_rows import CHUNK_COLUMNS, chunk_of, document_of, is_text
from retrieval.errors import DocumentNotFound, StoreCorrupt
from retrieval.lance_errors import reading
from retrieval.records import Chunk, ChunkNumbers, Document
from retrieval.store import VectorBatch

VECTORS_PER_BATCH: Final = 8_192  # vectors; 32 MB at 1,024 dimensions, the unit in which memory is bounded

_OFFSET_BITS: Final = 32  # the low bits of a row address


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Where each chunk is."""

    numbers: ChunkNumbers
    addresses: NDArray[np.int64]  # fragment and offset within it, as Lance packs them


class LanceSnapshot:
    """One version of a LanceStore. Implements `StoreSnapshot`."""

    def __init__(self, dataset: lance.LanceDataset, path: Path) -> None:
        self.dataset = dataset
        self._path = path

    @property
    def version(self) -> int:
        return int(self.dataset.version)

    def chunk_numbers(self) -> ChunkNumbers:
        return self._rows.numbers

    def vectors(self, *, after: int = -1) -> Iterator[VectorBatch]:
        first = int(np.searchsorted(self._rows.numbers, after, side="right"))
        if first == len(self._rows.numbers):
            return
        fragments = self.dataset.get_fragments()
        holds_first = int(self._rows.addresses[first]) >> _OFFSET_BITS
        behind = [fragment.fragment_id for fragment in fragments].index(holds_first)
        with reading(self._path):
            scanner = self.dataset.scanner(
                columns=["number", "vector"],
                fragments=fragments[behind:],
                scan_in_order=True,
                batch_size=VECTORS_PER_BATCH,
                batch_readahead=1,  # the vectors are used as fast as they are read: more would only fill memory
            )
            for batch in scanner.to_batches():
                numbers = batch["number"].to_numpy()
                newer = int(np.searchsorted(numbers, after, side="right"))
                if newer < len(numbers):
                    vectors = batch["vector"].flatten().to_numpy().reshape(len(numbers), -1)
                    yield VectorBatch(numbers=numbers[newer:], vectors=vectors[newer:])

    def chunks(self, numbers: Sequence[int]) -> list[Chunk]:
        wanted = np.asarray(numbers, dtype=np.int64)
        positions = np.searchsorted(self._rows.numbers, wanted)
        inside = positions < len(self._rows.numbers)
        live = positions[inside][self._rows.numbers[positions[inside]] == wanted[inside]]
        if not len(live):
            return []
        unique, inverse = np.unique(live, return_inverse=True)  # one read for a number that is asked for twice
        with reading(self._path):
            rows = [chunk_of(row) for row in self._take(unique).to_pylist()]
        return [rows[position] for position in inverse]

    def document(self, document_id: str) -> Document:
        column = self._column("document_id")
        if not is_text(document_id):
            raise DocumentNotFound(repr(document_id))
        positions = np.flatnonzero(pc.equal(column, document_id).to_numpy())
        if not len(positions):
            raise DocumentNotFound(document_id)
        with reading(self._path):
            rows = self._take(positions).sort_by("ordinal").to_pylist()
            return document_of([chunk_of(row) for row in rows])

    def content_hashes(self) -> Mapping[str, str]:
        with reading(self._path):
            table = self.dataset.to_table(columns=["document_id", "content_hash"])
        first_chunks = table.filter(pc.is_valid(table["content_hash"]))
        return dict(zip(*(column.to_pylist() for column in first_chunks.columns), strict=True))

    def counts(self) -> tuple[int, int]:
        return self._documents, len(self._rows.numbers)

    def rows_of(self, document_ids: Sequence[str]) -> dict[int, NDArray[np.int64]]:
        """The rows of these documents: by fragment, their offsets within it. What a delete is made of."""
        wanted = pa.array([name for name in document_ids if is_text(name)], pa.large_string())
        addresses = self._rows.addresses[pc.is_in(self._column("document_id"), wanted).to_numpy()]
        fragments, offsets = addresses >> _OFFSET_BITS, addresses & ((1 << _OFFSET_BITS) - 1)
        return {int(fragment): offsets[fragments == fragment] for fragment in np.unique(fragments)}

    @cached_property
    def _rows(self) -> _Rows:
        """In the order of the dataset, in which numbers ascend: rows are only ever appended or removed."""
        with reading(self._path):
            scanner = self.dataset.scanner(columns=["number"], with_row_address=True, scan_in_order=True)
            table = scanner.to_table()
        numbers = table["number"].to_numpy()
        if not bool((np.diff(numbers) > 0).all()):
            raise StoreCorrupt(f"{self._path}: chunk numbers do not ascend in version {self.version}")
        return _Rows(numbers=numbers, addresses=table["_rowaddr"].to_numpy().astype(np.int64))

    @cached_property
    def _documents(self) -> int:
        return int(pc.sum(pc.equal(self._column("ordinal"), 0)).as_py() or 0)

    def _column(self, name: str) -> Any:
        with reading(self._path):
            return self.dataset.to_table(columns=[name], scan_in_order=True)[name]

    def _take(self, positions: NDArray[np.int64]) -> Any:
        addresses = self._rows.addresses[positions].tolist()
        with reading(self._path):
            # The public `take` counts live rows from the first one on, which is slow where rows were deleted (measured:
            # 7 s instead of 0.1 s for 100,000 rows); this is what it calls once it has counted.
            return self.dataset._take_rows(addresses, columns=CHUNK_COLUMNS)  # noqa: SLF001
