"""Exact FAISS index that compares all vectors, and how every FAISS index is written and read.

Chunk numbers are kept outside the FAISS index: IDMap silently accepts duplicates, and a number that FAISS never sees
cannot go wrong. FAISS writes in place, without checksum or fsync; here it only converts an index to bytes and back.
retrieval/generation/publish.py stores the bytes.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from winnow.retrieval.arrays import mask_sorted
from winnow.retrieval.errors import GenerationCorrupt
from winnow.retrieval.index.backend_probe import IndexFault, RawSearch, find_faults
from winnow.retrieval.index.prescan import Prescan, first_width, holds, is_complete, is_worth_it, wider
from winnow.retrieval.index.vector_index import Hits
from winnow.retrieval.records import ChunkNumbers, Vectors
from winnow.retrieval.store.contract import VectorBatch

FAISS_VERSION: Final = str(faiss.__version__)
_FAISS: Final[Any] = faiss  # its stubs have the C++ constructors, not the Python ones
_BLOCK_BYTES: Final = 1 << 20  # bytes; unit of writing and reading an index
_PROBE_TOLERANCE: Final = 1e-3  # similarity; far above rounding, far below a wrong vector
_SCANS_BEFORE: Final = 12  # scans of all vectors before they are encoded; opening an index takes five
_TIES_AHEAD: Final = 16  # hits; how far beyond k to look for vectors as near as the k-th


class FaissFlatIndex:
    """An exact index over inner products; implements `VectorIndex`. Immutable."""

    def __init__(self, numbers: ChunkNumbers, index: Any) -> None:
        """`index` has one vector for each of `numbers`, which ascend."""
        assert len(numbers) == index.ntotal, "one number for each vector. This is a bug."
        self._numbers = numbers
        self._index = index
        self._scans = 0  # about how often all vectors were compared
        self._prescan: Prescan | None = None

    @classmethod
    def build(cls, batches: Iterable[VectorBatch], *, dimension: int, count: int = 0) -> FaissFlatIndex:
        """Build an index, with at most one batch in memory besides it.

        Memory for `count` vectors is allocated at once. If more come, FAISS moves to a larger array with both arrays in
        memory: twice what the vectors take.
        """
        index = faiss.IndexFlatIP(dimension)
        index.codes.resize(count * index.code_size)
        index.codes.resize(0)  # the capacity stays
        numbers = [np.empty(0, dtype=np.int64)]
        for batch in batches:
            index.add(np.ascontiguousarray(batch.vectors, dtype=np.float32))
            numbers.append(batch.numbers.copy())  # the store's array is a view of everything it has read
        return cls(np.concatenate(numbers), index)

    @property
    def dimension(self) -> int:
        return int(self._index.d)

    @property
    def numbers(self) -> ChunkNumbers:
        return self._numbers

    def vectors(self, positions: NDArray[np.int64]) -> Vectors:
        """Return the stored vectors of `numbers[positions]`."""
        stored: Vectors = self._index.reconstruct_batch(positions)
        return stored

    def all_vectors(self) -> Vectors:
        """One row for each of `numbers`, in FAISS's memory: read-only, and valid only while this index lives."""
        rows: Vectors = _FAISS.rev_swig_ptr(self._index.get_xb(), len(self._numbers) * self.dimension)
        return rows.reshape(len(self._numbers), self.dimension)

    @property
    def code_bytes(self) -> int:
        """Memory of the codes that are compared first; 0 before they are made, or without any."""
        return 0 if self._prescan is None else self._prescan.bytes

    @property
    def is_exact(self) -> bool:
        return True

    @property
    def selects(self) -> bool:
        return True

    def vectors_of(self, numbers: ChunkNumbers) -> Vectors:
        return self.vectors(np.searchsorted(self._numbers, numbers))

    def search(self, query: Vectors, k: int, *, allowed: ChunkNumbers | None = None) -> Hits:
        held = None if allowed is None else mask_sorted(self._numbers, allowed)
        count = len(self._numbers) if held is None else int(held.sum())
        if count == 0 or k <= 0:
            return Hits(numbers=np.empty(0, dtype=np.int64), similarities=np.empty(0, dtype=np.float32))
        return self._search_codes(query, min(k, count), held, count) or self._search_all(query, k, held, count)

    def prepare(self) -> None:
        """Encode the vectors, so that a search reads a quarter of the memory and answers the same. Takes a while."""
        self._prescan = Prescan.over(self.all_vectors())

    def _search_codes(self, query: Vectors, k: int, held: NDArray[np.bool_] | None, count: int) -> Hits | None:
        """Search by the codes; None without codes, or where they do not narrow the search."""
        prescan, width = self._prescan, first_width(k)
        if prescan is None:
            return None
        row, parameters = np.ascontiguousarray(query, dtype=np.float32), search_parameters(held)
        while is_worth_it(width, count):
            with one_thread():
                estimates, positions, bound = prescan.candidates(row, width, parameters)
                similarities = self._similarities(row, positions)
            if not holds(estimates, similarities, bound):
                return None
            if is_complete(estimates, similarities, k, bound):
                return _nearest(self._numbers[positions], similarities, k)
            width = wider(width)
        return None

    def _similarities(self, row: Vectors, positions: NDArray[np.int64]) -> Vectors:
        """By the function of FAISS that its full scan calls for each vector."""
        found = np.empty(len(positions), dtype=np.float32)
        _FAISS.fvec_inner_products_by_idx(
            _FAISS.swig_ptr(found),
            _FAISS.swig_ptr(row),
            self._index.get_xb(),
            _FAISS.swig_ptr(positions),
            self.dimension,
            1,
            len(positions),
        )
        return found

    def _search_all(self, query: Vectors, k: int, held: NDArray[np.bool_] | None, count: int) -> Hits:
        self._scanned()
        fetched = min(k + _TIES_AHEAD, count)
        while True:
            similarities, positions = self.raw_search(query, fetched, held)
            # FAISS may drop any of several equal hits at the end of its list; then fetch more.
            if fetched == count or similarities[k - 1] > similarities[-1]:
                break
            fetched = min(2 * fetched, count)
        return _nearest(self._numbers[positions[positions >= 0]], similarities[positions >= 0], k)

    def _scanned(self) -> None:
        """After some scans, encode in the background: a command searches once, and a device compares without this."""
        self._scans += 1
        if self._scans == _SCANS_BEFORE:
            threading.Thread(target=self.prepare, name="encode-vectors", daemon=True).start()

    def raw_search(self, query: Vectors, k: int, held: NDArray[np.bool_] | None) -> tuple[Vectors, NDArray[np.int64]]:
        """Similarities and positions as FAISS returns them, unchecked."""
        row = np.ascontiguousarray(query, dtype=np.float32).reshape(1, -1)
        with one_thread():
            similarities, positions = self._index.search(row, k, params=search_parameters(held))
        return similarities[0], positions[0]

    def write(self, sink: Callable[[bytes], object]) -> None:
        """Write the FAISS index block by block, without the numbers."""
        write_index(self._index, sink)

    @classmethod
    def read(cls, source: BinaryIO, numbers: ChunkNumbers) -> FaissFlatIndex:
        """Read what `write` wrote. The caller has checked the checksum of `source`: FAISS accepts damaged input."""
        index = read_index(source, len(numbers))
        if not isinstance(index, faiss.IndexFlat) or index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise GenerationCorrupt("the index is not a flat index over inner products")
        return cls(numbers, index)


def _nearest(numbers: ChunkNumbers, similarities: Vectors, k: int) -> Hits:
    order = np.lexsort((numbers, -similarities))[:k]
    return Hits(numbers=numbers[order], similarities=similarities[order])


def write_index(index: Any, sink: Callable[[bytes], object]) -> None:
    """Write a FAISS index block by block."""
    writer = faiss.PyCallbackIOWriter(sink, _BLOCK_BYTES)  # type: ignore[attr-defined]  # not in its stubs
    faiss.write_index(index, writer)


def read_index(source: BinaryIO, count: int) -> Any:
    """Read a FAISS index of `count` vectors. Raises `GenerationCorrupt`."""
    reader = faiss.PyCallbackIOReader(source.read, _BLOCK_BYTES)  # type: ignore[attr-defined]  # not in its stubs
    try:
        index = faiss.read_index(reader)
    except RuntimeError as error:
        raise GenerationCorrupt(f"FAISS {FAISS_VERSION} cannot read the index: {error}") from error
    if index.ntotal != count:
        raise GenerationCorrupt(f"the index has {index.ntotal} vectors, but there are {count} chunk numbers")
    return index


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Search with this thread alone.

    FAISS divides queries among threads, not vectors: of one query the others of OpenMP get nothing, and spin until it
    is done. Measured with 20,000 vectors of 512 dimensions on two cores: 1.6 instead of 2.4 ms, and 1.7 instead of 5.7
    ms of CPU.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # of the calling thread's own searches
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def make_selector(held: NDArray[np.bool_]) -> Any:
    """Make a FAISS selector of these positions."""
    return _FAISS.IDSelectorBitmap(np.packbits(held, bitorder="little"))


def search_parameters(held: NDArray[np.bool_] | None) -> Any:
    """Search parameters of a flat index; None if every vector is allowed."""
    return None if held is None else _FAISS.SearchParameters(sel=make_selector(held))


@functools.cache
def flat_faults() -> frozenset[IndexFault]:
    """Faults of this build of FAISS with a flat index; tested once per process."""

    def tiny(rows: Vectors) -> RawSearch:
        batch = VectorBatch(numbers=np.arange(len(rows), dtype=np.int64), vectors=rows)
        return FaissFlatIndex.build([batch], dimension=rows.shape[1]).raw_search

    return frozenset(find_faults(tiny))


def probe(index: FaissFlatIndex, *, count: int = 4) -> None:
    """Check that FAISS works and stored vectors find themselves, or equally near ones. Raises `GenerationCorrupt`.

    Checksums prove that the bytes are right; this proves that this build of FAISS searches them correctly.
    """
    wrong = sorted(flat_faults())
    if wrong:
        raise GenerationCorrupt(f"FAISS {FAISS_VERSION} {' and '.join(wrong)}")
    positions = np.arange(0, len(index.numbers), max(1, len(index.numbers) // count), dtype=np.int64)
    for number, vector in zip(index.numbers[positions], index.vectors(positions), strict=True):
        hits = index.search(vector, 1)
        if not (np.isfinite(vector).all() and len(hits.numbers) == 1):
            raise GenerationCorrupt(f"a search for the vector of chunk {number} finds nothing")
        if hits.similarities[0] < float(vector @ vector) - _PROBE_TOLERANCE:
            raise GenerationCorrupt(f"a search for the vector of chunk {number} does not find that chunk")
