"""Checks that a store still contains what was written. Reads everything.

Lance has no checksums: a bit flipped on the disk is another letter or another vector. Checksums of whole files
(retrieval/store/checksums.py) name the file; this module tells what readers would see, and finds faults older than the
checksums. Texts, titles, URLs and metadata are compared with the stored content hash, attributes with their metadata,
and vectors with those of a generation, which has checksums. A newer vector can only be checked for length 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

import numpy as np

from winnow.retrieval.index.vector_index import VectorIndex
from winnow.retrieval.records import Chunk
from winnow.retrieval.store.contract import StoreSnapshot, VectorBatch
from winnow.retrieval.store.rows import document_of

UNIT_TOLERANCE: Final = 1e-2  # tolerance of a vector's length around 1; bf16 models deviate by some thousandths
_ROUNDED: Final = 0.02  # similarity lost when each number of a vector is stored in one byte
_CHUNKS_AT_ONCE: Final = 1_024  # chunks held in memory


def faults(snapshot: StoreSnapshot, *, generation: VectorIndex | None = None) -> Iterator[str]:
    """Yield all faults, one sentence each. `generation` was checked when it was opened."""
    yield from _vector_faults(snapshot, generation)
    yield from _document_faults(snapshot)


def _vector_faults(snapshot: StoreSnapshot, generation: VectorIndex | None) -> Iterator[str]:
    read = 0
    for batch in snapshot.vectors():
        lengths = np.linalg.norm(batch.vectors, axis=1)
        for number in batch.numbers[~(np.abs(lengths - 1.0) <= UNIT_TOLERANCE)]:  # also true for NaN
            yield f"the vector of chunk {number} does not have length 1"
        if generation is not None:
            yield from _differences(batch, generation)
        read += len(batch.numbers)
    if read != len(snapshot.chunk_numbers()):
        yield f"{read} vectors can be read, but there are {len(snapshot.chunk_numbers())} chunks"


def _differences(batch: VectorBatch, generation: VectorIndex) -> Iterator[str]:
    """Compare vectors. One byte per number, as in an approximate index, only reveals vectors of other chunks."""
    _, here, _ = np.intersect1d(batch.numbers, generation.numbers, assume_unique=True, return_indices=True)
    mine, kept = batch.vectors[here], generation.vectors_of(batch.numbers[here])
    near = np.einsum("ij,ij->i", mine, kept) >= 1.0 - _ROUNDED
    equal = (mine == kept).all(axis=1) if generation.is_exact else near
    for number in batch.numbers[here][~equal]:
        yield f"the vector of chunk {number} differs from the one that its generation was built from"


def _document_faults(snapshot: StoreSnapshot) -> Iterator[str]:
    written = dict(snapshot.content_hashes())
    for document_id, chunks in groupby(_chunks(snapshot), key=lambda chunk: chunk.document_id):
        if written.pop(document_id, None) != document_of(list(chunks)).content_hash:
            yield f"document {document_id!r} differs from what was written"
    for document_id in written:
        yield f"document {document_id!r} has lost its chunks"
    for document_id in snapshot.misfiled():
        yield f"document {document_id!r} has attributes that differ from its metadata"


def _chunks(snapshot: StoreSnapshot) -> Iterator[Chunk]:
    """Yield chunks by number, which keeps the chunks of a document together: it is written as a whole."""
    numbers = snapshot.chunk_numbers()
    for start in range(0, len(numbers), _CHUNKS_AT_ONCE):
        yield from snapshot.chunks(numbers[start : start + _CHUNKS_AT_ONCE].tolist())
