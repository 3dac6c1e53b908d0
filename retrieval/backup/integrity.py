"""Is what the store holds what was written? Reads everything.

Lance has no checksums of its own: a bit that flipped on the disk is another letter, or another vector. The sums of
whole files (retrieval/store/checksums.py) tell which file it was; here it is told what a reader would see of it, and
what was wrong before there were sums. Texts, titles, URLs and metadata are compared with the content hash that was
stored beside them; attributes with the metadata that they were made of; vectors with those of a generation, which has
checksums. Of a vector that is newer it can only be said that it is still of length 1.
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

UNIT_TOLERANCE: Final = 1e-2  # how far from 1 the length of a stored vector may be; bf16 models leave some thousandths
_ROUNDED: Final = 0.02  # similarity; what one byte for each number may take from a vector's likeness to itself
_CHUNKS_AT_ONCE: Final = 1_024  # chunks; what is held in memory


def faults(snapshot: StoreSnapshot, *, generation: VectorIndex | None = None) -> Iterator[str]:
    """Everything that is wrong, one sentence each. `generation` was opened, and so checked, before."""
    yield from _vector_faults(snapshot, generation)
    yield from _document_faults(snapshot)


def _vector_faults(snapshot: StoreSnapshot, generation: VectorIndex | None) -> Iterator[str]:
    read = 0
    for batch in snapshot.vectors():
        lengths = np.linalg.norm(batch.vectors, axis=1)
        for number in batch.numbers[~(np.abs(lengths - 1.0) <= UNIT_TOLERANCE)]:  # also where it is not a number
            yield f"the vector of chunk {number} is not of length 1"
        if generation is not None:
            yield from _differences(batch, generation)
        read += len(batch.numbers)
    if read != len(snapshot.chunk_numbers()):
        yield f"{read} vectors can be read, {len(snapshot.chunk_numbers())} chunks are counted"


def _differences(batch: VectorBatch, generation: VectorIndex) -> Iterator[str]:
    """An approximate index keeps vectors in one byte for each number, and can only tell that one is another's."""
    _, here, _ = np.intersect1d(batch.numbers, generation.numbers, assume_unique=True, return_indices=True)
    mine, kept = batch.vectors[here], generation.vectors_of(batch.numbers[here])
    near = np.einsum("ij,ij->i", mine, kept) >= 1.0 - _ROUNDED
    equal = (mine == kept).all(axis=1) if generation.is_exact else near
    for number in batch.numbers[here][~equal]:
        yield f"the vector of chunk {number} is not the one that its generation was built from"


def _document_faults(snapshot: StoreSnapshot) -> Iterator[str]:
    written = dict(snapshot.content_hashes())
    for document_id, chunks in groupby(_chunks(snapshot), key=lambda chunk: chunk.document_id):
        if written.pop(document_id, None) != document_of(list(chunks)).content_hash:
            yield f"document {document_id!r} differs from what was written"
    for document_id in written:
        yield f"document {document_id!r} has lost its chunks"
    for document_id in snapshot.misfiled():
        yield f"document {document_id!r} has other attributes than its metadata says"


def _chunks(snapshot: StoreSnapshot) -> Iterator[Chunk]:
    """In order of number, in which the chunks of a document stand together: it is written in one piece."""
    numbers = snapshot.chunk_numbers()
    for start in range(0, len(numbers), _CHUNKS_AT_ONCE):
        yield from snapshot.chunks(numbers[start : start + _CHUNKS_AT_ONCE].tolist())
