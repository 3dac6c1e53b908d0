"""All vectors, compared one by one, by FAISS; and what every FAISS index shares: how it becomes bytes and back.

The chunk numbers lie beside the FAISS index, not in it: IDMap takes the same number twice without a word, and a number
that FAISS never sees is a number that it cannot get wrong. FAISS writes in place, without checksum or fsync; here it
only turns an index into bytes and back, and what becomes of the bytes is decided in retrieval/generation/publish.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from winnow.retrieval.arrays import mask_sorted
from winnow.retrieval.errors import GenerationCorrupt
from winnow.retrieval.index.backend_probe import Asked, Misdeed, misdeeds
from winnow.retrieval.index.vector_index import Hits
from winnow.retrieval.records import ChunkNumbers, Vectors
from winnow.retrieval.store.contract import VectorBatch

FAISS_VERSION: Final = str(faiss.__version__)
_FAISS: Final[Any] = faiss  # its stubs know the constructors of C++, not those of Python
_BLOCK_BYTES: Final = 1 << 20  # bytes; the unit in which an index is written and read
_PROBE_TOLERANCE: Final = 1e-3  # similarity; far more than rounding, far less than a wrong vector
_TIES_AHEAD: Final = 16  # hits; how far beyond k to look for vectors as near as the k-th


class FaissFlatIndex:
    """An exact index over inner products; implements `VectorIndex`. Never changed once it is built."""

    def __init__(self, numbers: ChunkNumbers, index: Any) -> None:
        """`index` holds one vector for each of `numbers`, which ascend."""
        assert len(numbers) == index.ntotal, "one number for each vector. This is a bug."
        self._numbers = numbers
        self._index = index

    @classmethod
    def build(cls, batches: Iterable[VectorBatch], *, dimension: int, count: int = 0) -> FaissFlatIndex:
        """Holds one batch beside the index at any time.

        Room is made for `count` vectors at once. Where more come, or nobody said how many would, FAISS moves to a
        larger array as it fills, with the old one and the new one side by side: twice what the vectors take.
        """
        index = faiss.IndexFlatIP(dimension)
        index.codes.resize(count * index.code_size)
        index.codes.resize(0)  # the room stays
        numbers = [np.empty(0, dtype=np.int64)]
        for batch in batches:
            index.add(np.ascontiguousarray(batch.vectors, dtype=np.float32))
            numbers.append(batch.numbers.copy())  # what the store gave is a window on all that it read
        return cls(np.concatenate(numbers), index)

    @property
    def dimension(self) -> int:
        return int(self._index.d)

    @property
    def numbers(self) -> ChunkNumbers:
        return self._numbers

    def vectors(self, positions: NDArray[np.int64]) -> Vectors:
        """The stored vectors of `numbers[positions]`."""
        stored: Vectors = self._index.reconstruct_batch(positions)
        return stored

    def every_vector(self) -> Vectors:
        """One row for each of `numbers`, in FAISS's own memory: to be read, and only while this index lives."""
        rows: Vectors = _FAISS.rev_swig_ptr(self._index.get_xb(), len(self._numbers) * self.dimension)
        return rows.reshape(len(self._numbers), self.dimension)

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
        fetched = min(k + _TIES_AHEAD, count)
        while True:
            if fetched == 0 or k <= 0:
                return Hits(numbers=np.empty(0, dtype=np.int64), similarities=np.empty(0, dtype=np.float32))
            similarities, positions = self.asked(query, fetched, held)
            # FAISS may drop any of several equal hits at the end of its list; then the list must be longer.
            if fetched == count or similarities[k - 1] > similarities[-1]:
                break
            fetched = min(2 * fetched, count)
        numbers = self._numbers[positions[positions >= 0]]
        similarities = similarities[positions >= 0]
        order = np.lexsort((numbers, -similarities))[:k]
        return Hits(numbers=numbers[order], similarities=similarities[order])

    def asked(self, query: Vectors, k: int, held: NDArray[np.bool_] | None) -> tuple[Vectors, NDArray[np.int64]]:
        """Similarities and positions as FAISS gives them, unchecked."""
        row = np.ascontiguousarray(query, dtype=np.float32).reshape(1, -1)
        similarities, positions = self._index.search(row, k, params=told_of(held))
        return similarities[0], positions[0]

    def write(self, sink: Callable[[bytes], object]) -> None:
        """The vectors as FAISS keeps them, block by block; the numbers are not among them."""
        bytes_of(self._index, sink)

    @classmethod
    def read(cls, source: BinaryIO, numbers: ChunkNumbers) -> FaissFlatIndex:
        """The counterpart of `write`. `source` was checked against its checksum: FAISS accepts damaged input."""
        index = index_of(source, len(numbers))
        if not isinstance(index, faiss.IndexFlat) or index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise GenerationCorrupt("the index is not a flat one over inner products")
        return cls(numbers, index)


def bytes_of(index: Any, sink: Callable[[bytes], object]) -> None:
    """The index as FAISS writes it, block by block."""
    writer = faiss.PyCallbackIOWriter(sink, _BLOCK_BYTES)  # type: ignore[attr-defined]  # not in its stubs
    faiss.write_index(index, writer)


def index_of(source: BinaryIO, count: int) -> Any:
    """What `bytes_of` wrote, of `count` vectors. Raises `GenerationCorrupt`."""
    reader = faiss.PyCallbackIOReader(source.read, _BLOCK_BYTES)  # type: ignore[attr-defined]  # not in its stubs
    try:
        index = faiss.read_index(reader)
    except RuntimeError as error:
        raise GenerationCorrupt(f"FAISS {FAISS_VERSION} cannot read the index: {error}") from error
    if index.ntotal != count:
        raise GenerationCorrupt(f"{index.ntotal} vectors for {count} chunk numbers")
    return index


def selector_of(held: NDArray[np.bool_]) -> Any:
    """By which only these positions may answer."""
    return _FAISS.IDSelectorBitmap(np.packbits(held, bitorder="little"))


def told_of(held: NDArray[np.bool_] | None) -> Any:
    """What a search of a flat index is told; None where everything may answer."""
    return None if held is None else _FAISS.SearchParameters(sel=selector_of(held))


@functools.cache
def misdeeds_when_flat() -> frozenset[Misdeed]:
    """What this build of FAISS does wrong with a flat index; found out once a process."""

    def tiny(rows: Vectors) -> Asked:
        batch = VectorBatch(numbers=np.arange(len(rows), dtype=np.int64), vectors=rows)
        return FaissFlatIndex.build([batch], dimension=rows.shape[1]).asked

    return frozenset(misdeeds(tiny))


def probe(index: FaissFlatIndex, *, count: int = 4) -> None:
    """FAISS does as told, and stored vectors find themselves, or whatever is as near. Raises `GenerationCorrupt`.

    Checksums say that the bytes are the right ones; this says that this build of FAISS answers properly from them.
    """
    wrong = sorted(misdeeds_when_flat())
    if wrong:
        raise GenerationCorrupt(f"FAISS {FAISS_VERSION} {' and '.join(wrong)}")
    positions = np.arange(0, len(index.numbers), max(1, len(index.numbers) // count), dtype=np.int64)
    for number, vector in zip(index.numbers[positions], index.vectors(positions), strict=True):
        hits = index.search(vector, 1)
        if not (np.isfinite(vector).all() and len(hits.numbers) == 1):
            raise GenerationCorrupt(f"the vector of chunk {number} finds nothing")
        if hits.similarities[0] < float(vector @ vector) - _PROBE_TOLERANCE:
            raise GenerationCorrupt(f"the vector of chunk {number} does not find itself")
