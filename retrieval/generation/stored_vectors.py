"""The vectors of a generation that has only checksums of them: read from the store when it is opened.

A chunk's vector never changes, and its number is never used again. So whatever was written, removed, joined or cleaned
up since, each of the generation's chunks is either still in the store's newest version, with the very bits that the
generation was built from, or was removed, and no search returns it.

Rule: a vector with another checksum is never served, and never published: the store is damaged then, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from winnow.retrieval.errors import GenerationCorrupt, StoreCorrupt
from winnow.retrieval.files.layout import NUMBERS_FILE, SUMS_FILE, CollectionFolder
from winnow.retrieval.generation.manifest import Manifest, read_manifest, require_files
from winnow.retrieval.generation.pointer import names
from winnow.retrieval.index.faiss_flat import FaissFlatIndex
from winnow.retrieval.index.vector_sums import VectorSums, sums_of
from winnow.retrieval.records import ChunkNumbers
from winnow.retrieval.store.contract import Store, StoreSnapshot, VectorBatch


def read_index(path: Path, manifest: Manifest, numbers: ChunkNumbers, store: Store) -> FaissFlatIndex:
    """Return the index of those of its chunks that are still there. Its files were checked.

    Raises `StoreCorrupt` for a vector that differs from the one it was built from, and `GenerationCorrupt` if it does
    not belong to this store.
    """
    sums = read_sums(path / SUMS_FILE)
    with store.holding():
        snapshot = store.snapshot()
        if snapshot.version < manifest.store_version:
            raise GenerationCorrupt(
                f"it was built from version {manifest.store_version}, and the store has only {snapshot.version}"
            )
        batches = _stored(snapshot, manifest, numbers, sums)
        return FaissFlatIndex.build(batches, dimension=manifest.embedder.dimension, count=len(numbers))


def require_unchanged(folder: CollectionFolder, numbers: ChunkNumbers, sums: VectorSums) -> None:
    """Compare vectors with those that the newest intact generation with checksums was built from.

    Raises `StoreCorrupt`.
    """
    for name in names(folder):
        path = folder.generations / name
        try:
            manifest = read_manifest(path)
            if not manifest.is_in_store:
                continue
            require_files(path, manifest)
            before, expected = read_numbers(path / NUMBERS_FILE), read_sums(path / SUMS_FILE)
        except GenerationCorrupt:
            continue
        _, here, there = np.intersect1d(numbers, before, assume_unique=True, return_indices=True)
        _require_equal(name, numbers[here], sums[here], expected[there])
        return


def read_numbers(path: Path) -> ChunkNumbers:
    numbers = np.fromfile(path, dtype="<i8").astype(np.int64)
    if not bool((np.diff(numbers) > 0).all()):
        raise GenerationCorrupt("its chunk numbers do not ascend")
    return numbers


def read_sums(path: Path) -> VectorSums:
    return np.fromfile(path, dtype="<u8").astype(np.uint64)


def _stored(
    snapshot: StoreSnapshot, manifest: Manifest, numbers: ChunkNumbers, sums: VectorSums
) -> Iterator[VectorBatch]:
    """Yield the vectors of those of the chunks that are live, compared with their checksums."""
    last = int(numbers[-1]) if len(numbers) else -1
    for batch in snapshot.vectors():
        within = int(np.searchsorted(batch.numbers, last, side="right"))
        if within == 0:
            return
        live = batch.numbers[:within]
        places = np.searchsorted(numbers, live)
        if not bool((numbers[places] == live).all()):
            raise GenerationCorrupt("the store has older chunks that are not in it")
        _require_equal(manifest.name, live, sums_of(batch.vectors[:within]), sums[places])
        yield VectorBatch(numbers=live, vectors=batch.vectors[:within])


def _require_equal(name: str, numbers: ChunkNumbers, found: VectorSums, expected: VectorSums) -> None:
    changed = numbers[found != expected]
    if len(changed):
        others = f", and of {len(changed) - 1} more" if len(changed) > 1 else ""
        raise StoreCorrupt(
            f"the vector of chunk {changed[0]}{others} differs from the one that generation {name} was built from; "
            "restore a snapshot, or index the corpus into another collection"
        )
