"""One version of a collection's chunks in Lance: the place and content of every chunk.

Chunk numbers ascend within each fragment, and each fragment has its own range of them. A compaction places what it
joined behind all other fragments, so readers that need the order of numbers pass Lance the fragments in that order.
Lance compiles no filter: rows are found by what `StoredRows` holds in memory, or by reading a column, and are compared
here, so a value from outside never becomes part of an expression.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Final, TypeVar

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from winnow.retrieval.errors import DocumentNotFound, StoreCorrupt, WordsNotIndexed
from winnow.retrieval.filters.grammar import Filter
from winnow.retrieval.filters.masks import AttributeColumns, describe_attributes, mask_of
from winnow.retrieval.records import Chunk, ChunkNumbers, Document, Piece, Vectors, is_text
from winnow.retrieval.store.checksums import is_of_words
from winnow.retrieval.store.contract import LexicalHits, VectorBatch
from winnow.retrieval.store.lance_attributes import columns_of, differing
from winnow.retrieval.store.lance_fulltext import find_matches, is_indexed, segments
from winnow.retrieval.store.liveness import Flags
from winnow.retrieval.store.places.place import StorePlace
from winnow.retrieval.store.row_cache import Row, RowCache
from winnow.retrieval.store.row_map import (
    Addresses,
    FragmentFiles,
    FragmentRows,
    StoredRows,
    fragments_of,
    hashes_of,
    offsets_of,
    runs_of,
)
from winnow.retrieval.store.rows import (
    CHUNK_COLUMNS,
    PIECE_COLUMNS,
    chunk_of,
    document_of,
    has_attributes,
    piece_of,
    present_columns,
    shared_chunk_of,
    word_rules,
)
from winnow.retrieval.store.vector_column import VECTOR_COLUMN, vector_format, vectors_in
from winnow.retrieval.vector_format import VectorFormat

Made = TypeVar("Made")

VECTORS_PER_BATCH: Final = 8_192  # vectors; 32 MB at 1,024 dimensions, the unit that bounds memory
_ANY_WORD: Final = "word"
READ_AHEAD_BYTES: Final = 64_000_000  # of files, by Lance, whose own limit is 2 GB


class LanceSnapshot:
    """One version of a LanceStore. Implements `StoreSnapshot`."""

    def __init__(self, dataset: lance.LanceDataset, place: StorePlace, *, held: StoredRows | None = None) -> None:
        """`held` are the rows of an earlier version; those that still exist are not read again."""
        self.dataset = dataset
        self._place = place
        self._held = held

    @property
    def version(self) -> int:
        return int(self.dataset.version)

    @property
    def held(self) -> StoredRows | None:
        """The rows that the next version need not read again: as far as this one has read them."""
        read: dict[str, StoredRows] = self.__dict__
        return read.get("_documents") or read.get("_rows") or self._held

    def chunk_numbers(self) -> ChunkNumbers:
        return self._rows.live.numbers()

    def alive(self, numbers: ChunkNumbers) -> Flags:
        return self._rows.live.includes(numbers)

    def count(self, *, after: int = -1) -> int:
        return self._rows.count(after=after)

    def vectors(self, *, after: int = -1) -> Iterator[VectorBatch]:
        wanted = self._rows.fragments_after(after)
        if not wanted:
            return
        for batch in self._place.iterate(lambda: self._vector_batches(wanted)):
            numbers = batch["number"].to_numpy()
            newer = int(np.searchsorted(numbers, after, side="right"))
            if newer < len(numbers):
                vectors = vectors_in(batch[VECTOR_COLUMN])
                yield VectorBatch(numbers=numbers[newer:], vectors=vectors[newer:])

    def _vector_batches(self, wanted: Collection[int]) -> Iterator[pa.RecordBatch]:
        batches: Iterator[pa.RecordBatch] = self.dataset.scanner(
            columns=["number", VECTOR_COLUMN],
            fragments=self._ordered_fragments(wanted),
            scan_in_order=True,
            batch_size=VECTORS_PER_BATCH,
            batch_readahead=1,  # vectors are used as fast as they are read: more would only fill memory
            fragment_readahead=1,
            io_buffer_size=READ_AHEAD_BYTES,
        ).to_batches()
        return batches

    def fragments_by_number(self) -> list[int]:
        """Return the ids of all fragments with live rows, in ascending order of chunk number."""
        return [rows.files.number for rows in self._rows.fragments]

    def _ordered_fragments(self, wanted: Collection[int]) -> list[lance.LanceFragment]:
        """Return these fragments in ascending order of chunk number."""
        known = {fragment.fragment_id: fragment for fragment in self.dataset.get_fragments()}
        return [known[rows.files.number] for rows in self._rows.fragments if rows.files.number in wanted]

    def vectors_of(self, numbers: Sequence[int]) -> Vectors:
        addresses = self._rows.addresses_of(np.asarray(numbers, dtype=np.int64))
        assert (addresses >= 0).all(), "these chunks are live. This is a bug."
        if not len(addresses):
            return np.empty((0, self.dataset.schema.field(VECTOR_COLUMN).type.list_size), dtype=np.float32)
        unique, inverse = np.unique(addresses, return_inverse=True)
        rows: Vectors = vectors_in(self._take(unique, [VECTOR_COLUMN])[VECTOR_COLUMN].combine_chunks())[inverse]
        return rows

    def chunks(self, numbers: Sequence[int], *, cache: RowCache | None = None) -> list[Chunk]:
        return self._each(numbers, CHUNK_COLUMNS, chunk_of, cache)

    def chunks_at_hand(self, numbers: Sequence[int], cache: RowCache) -> list[Chunk] | None:
        unique, inverse = self._live_addresses(numbers)
        keys = self._cache_keys(cache, unique, CHUNK_COLUMNS)
        chunks = self._place.read(lambda: cache.find_made(keys, shared_chunk_of))
        return None if chunks is None else [chunks[position] for position in inverse]

    def pieces(self, numbers: Sequence[int]) -> list[Piece]:
        return self._each(numbers, PIECE_COLUMNS, piece_of)

    def document_ids(self, numbers: Sequence[int]) -> list[str]:
        return self._each(numbers, ["document_id"], lambda row: str(row["document_id"]))

    def document(self, document_id: str) -> Document:
        return document_of(self.chunks_of(document_id))

    def chunks_of(self, document_id: str) -> list[Chunk]:
        """Return the chunks of a document, in their order. Raises `DocumentNotFound`."""
        if not is_text(document_id):
            raise DocumentNotFound(repr(document_id))
        addresses = self._documents.addresses_by_id([document_id])
        found = self._take(addresses, CHUNK_COLUMNS)
        rows = [row for row in self._place.read(found.to_pylist) if row["document_id"] == document_id]
        if not rows:
            raise DocumentNotFound(document_id)
        return self._place.read(lambda: [chunk_of(row) for row in sorted(rows, key=lambda row: int(row["ordinal"]))])

    def content_hashes(self) -> Mapping[str, str]:
        hashes: dict[str, str] = {}
        for batch in self.content_hash_batches():
            hashes.update(batch)
        return hashes

    def content_hash_batches(self) -> Iterator[Mapping[str, str]]:
        for batch in self._place.iterate(lambda: self.dataset.to_batches(columns=["document_id", "content_hash"])):
            first_chunks = batch.filter(pc.is_valid(batch["content_hash"]))
            names, hashes = (first_chunks[name].to_pylist() for name in ("document_id", "content_hash"))
            yield dict(zip(names, hashes, strict=True))

    def require_files(self) -> None:
        """Raise `StoreCorrupt` for a missing file of this version. Reads no file."""
        fragments = self._place.read(self.dataset.get_fragments)
        data = [f"data/{file.path}" for fragment in fragments for file in fragment.data_files()]
        deletions = [file for fragment in fragments if (file := fragment.deletion_file()) is not None]
        self._place.require_files([*data, *deletions])

    def counts(self) -> tuple[int, int]:
        return self._documents.document_count(), self._rows.count()

    def numbers_where(self, where: Filter) -> ChunkNumbers:
        return self.chunk_numbers()[self._mask(where)]

    def documents_where(self, where: Filter) -> list[str]:
        first_chunks = pc.equal(self._column("ordinal"), 0).to_numpy()
        names: list[str] = self._column("document_id").filter(pa.array(first_chunks & self._mask(where))).to_pylist()
        return names

    @property
    def has_attribute_columns(self) -> bool:
        """Whether `attributes` costs nothing; in a store of the format before, it reads all metadata."""
        return has_attributes(self.dataset.schema)

    @property
    def word_rules(self) -> int:
        """The word rules for texts and queries (retrieval/lexical/words.py)."""
        return word_rules(self.dataset.schema)

    @property
    def vector_format(self) -> VectorFormat:
        """How the vectors are stored; they are read as float32."""
        return vector_format(self.dataset.schema)

    def attributes(self) -> Mapping[str, str]:
        return describe_attributes(self._attributes.known)

    def lexical(self, text: str, k: int, *, allowed: ChunkNumbers | None = None) -> LexicalHits:
        if not self._has_words:
            raise WordsNotIndexed(f"{self._place.collection}; index any corpus into it")
        rows = self._rows
        return self._place.read(lambda: find_matches(self.dataset, text, k, rows=rows, allowed=allowed))

    def words_fault(self) -> str | None:
        """Return why full-text search does not work; None if it works, or if the store has no full-text index."""
        try:
            if not self._has_words:
                return None
            used = {str(segment.uuid) for segment in self._place.read(lambda: segments(self.dataset))}
            for name in self._place.lost():  # Lance lists only files that exist
                if is_of_words(name) and PurePosixPath(name).parts[1] in used:
                    return f"{name} is missing"
            self.lexical(_ANY_WORD, 1)
        except StoreCorrupt as corrupt:
            return corrupt.detail
        return None

    def misfiled(self) -> list[str]:
        wrong = np.flatnonzero(self._place.read(lambda: differing(self.dataset.schema, self._column)))
        return list(dict.fromkeys(self._column("document_id").take(pa.array(wrong)).to_pylist()))

    def files(self) -> list[str]:
        """Return all files of this version, relative to the store's folder. They stay unchanged while it is held."""
        tracked = self._place.read(lambda: self.dataset.tracked_files(min_version=self.version).read_all()).to_pylist()
        return sorted({row["path"] for row in tracked if row["version"] == self.version})

    def rows_of(self, document_ids: Sequence[str]) -> dict[int, NDArray[np.uint32]]:
        """Return the rows of these documents, for a delete: by fragment, their offsets in it."""
        wanted = [name for name in document_ids if is_text(name)]
        addresses = self._documents.addresses_by_id(wanted)
        if len(addresses):
            found = self._take(addresses, ["document_id"])["document_id"]
            addresses = addresses[pc.is_in(found, pa.array(wanted, pa.large_string())).to_numpy()]
        fragments, offsets = fragments_of(addresses), offsets_of(addresses)
        return {int(fragment): offsets[fragments == fragment] for fragment in np.unique(fragments)}

    @cached_property
    def _rows(self) -> StoredRows:
        return self._place.read(lambda: _rows_of(self.dataset, self._held))

    @cached_property
    def _documents(self) -> StoredRows:
        """The same rows, with the places of each document."""
        rows = self._rows
        return self._place.read(
            lambda: rows.with_documents(_with_documents(self.dataset, each) for each in rows.fragments)
        )

    @cached_property
    def _has_words(self) -> bool:
        return self._place.read(lambda: is_indexed(self.dataset))

    @cached_property
    def _attributes(self) -> AttributeColumns:
        rows = self.count()
        return self._place.read(lambda: columns_of(self.dataset.schema, self._column, rows=rows))

    def _mask(self, where: Filter) -> NDArray[np.bool_]:
        attributes = self._attributes
        return self._place.read(lambda: mask_of(where, attributes))

    def _column(self, name: str) -> Any:
        """Read a column in order of chunk number."""
        fragments = self._ordered_fragments(self._rows.fragments_after(-1))
        if not fragments:  # an empty list would mean all of them
            return self._place.read(lambda: self.dataset.schema.empty_table().select([name]))[name]
        return self._place.read(
            lambda: self.dataset.scanner(columns=[name], fragments=fragments, scan_in_order=True).to_table()
        )[name]

    def _each(
        self, numbers: Sequence[int], columns: list[str], made: Callable[[Row], Made], cache: RowCache | None = None
    ) -> list[Made]:
        """Convert the rows of these numbers with `made`, in the given order; numbers that are not live are left out."""
        unique, inverse = self._live_addresses(numbers)
        if not len(unique):
            return []
        read = self._read(unique, columns) if cache is None else self._read_through(cache, unique, columns)
        rows = self._place.read(lambda: [made(row) for row in read])
        return [rows[position] for position in inverse]

    def _live_addresses(self, numbers: Sequence[int]) -> tuple[Addresses, list[int]]:
        """Return the addresses of those that are live, ascending and each once, and the place in them of each."""
        addresses = self._rows.addresses_of(np.asarray(numbers, dtype=np.int64))
        unique, inverse = np.unique(addresses[addresses >= 0], return_inverse=True)
        return unique, inverse.tolist()

    def _cache_keys(self, cache: RowCache, addresses: Addresses, columns: list[str]) -> list[bytes]:
        """Return the keys of these rows; `addresses` ascend."""
        keys: list[bytes] = []
        offsets = offsets_of(addresses)
        for fragment, run in runs_of(fragments_of(addresses)):
            keys += cache.keys_of(self._rows.data_file(fragment), offsets[run].tolist(), columns=columns)
        return keys

    def _read(self, addresses: Addresses, columns: list[str]) -> list[Row]:
        rows: list[Row] = self._take(addresses, columns).to_pylist()
        return rows

    def _read_through(self, cache: RowCache, addresses: Addresses, columns: list[str]) -> list[Row]:
        """Read what the cache does not have, and store it there. `addresses` ascend."""
        keys = self._cache_keys(cache, addresses, columns)
        rows = cache.find(keys)
        missing = [place for place, row in enumerate(rows) if row is None]
        if missing:
            read = self._read(addresses[missing], columns)
            cache.put([keys[place] for place in missing], read)
            for place, row in zip(missing, read, strict=True):
                rows[place] = row
        return [row for row in rows if row is not None]

    def _take(self, addresses: Addresses, columns: list[str]) -> Any:
        """Read rows in the order of `addresses`."""
        present = present_columns(columns, self.dataset.schema)
        # The public `take` counts live rows from the first one on, which is slow after deletions (measured: 7 s
        # instead of 0.1 s for 100,000 rows). This is the call it makes after counting.
        return self._place.read(lambda: self.dataset._take_rows(addresses.tolist(), columns=present))  # noqa: SLF001


def _rows_of(dataset: lance.LanceDataset, held: StoredRows | None) -> StoredRows:
    """Return the rows of this version. Unchanged fragments are taken from `held`, the others are read."""
    before = {rows.files.number: rows for rows in held.fragments} if held else {}
    files = {fragment.fragment_id: _files_of(fragment) for fragment in dataset.get_fragments()}
    rows = {number: before[number] for number in files if number in before and before[number].files == files[number]}
    changed = before.keys() & files.keys() - rows.keys()
    narrower = {number for number in changed if before[number].files.differ_in_deletions_only(files[number])}
    for number, table in _scan(dataset, narrower, columns=[]):
        narrowed = before[number].narrowed(files[number], offsets_of(_addresses(table)))
        if narrowed is not None:
            rows[number] = narrowed
    for number, table in _scan(dataset, files.keys() - rows.keys(), columns=["number"]):
        rows[number] = FragmentRows.read(files[number], table["number"].to_numpy(), offsets_of(_addresses(table)))
    current = [rows[number] for number in files if number in rows]
    return held.followed_by(current) if held else StoredRows(current)


def _with_documents(dataset: lance.LanceDataset, rows: FragmentRows) -> FragmentRows:
    if rows.documents is not None:
        return rows
    for _, table in _scan(dataset, {rows.files.number}, columns=["document_id", "ordinal"]):
        if bool((offsets_of(_addresses(table)) == rows.offsets[rows.alive]).all()):
            hashes = hashes_of(table["document_id"].to_pylist())
            return rows.with_documents(hashes, table["ordinal"].to_numpy() == 0)
    raise StoreCorrupt(f"fragment {rows.files.number} no longer holds the same rows")


def _scan(
    dataset: lance.LanceDataset, wanted: Collection[int], *, columns: list[str]
) -> Iterator[tuple[int, pa.Table]]:
    """Yield the live rows of these fragments, one fragment at a time; empty ones are left out."""
    if not wanted:
        return
    fragments = [fragment for fragment in dataset.get_fragments() if fragment.fragment_id in wanted]
    table = dataset.scanner(columns=columns, with_row_address=True, fragments=fragments, scan_in_order=True).to_table()
    for number, run in runs_of(fragments_of(_addresses(table))):
        yield number, table.slice(run.start, run.stop - run.start)


def _addresses(table: pa.Table) -> Addresses:
    addresses: Addresses = table["_rowaddr"].to_numpy().astype(np.int64)
    return addresses


def _files_of(fragment: lance.LanceFragment) -> FragmentFiles:
    data = fragment.data_files()[0]._path  # noqa: SLF001  (`path` creates a class at every call, most of the cost)
    return FragmentFiles(number=fragment.fragment_id, data=data, deletions=fragment.deletion_file())
