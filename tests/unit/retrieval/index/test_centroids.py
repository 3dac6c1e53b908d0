"""retrieval/index/centroids.py, beside k-means written out in numpy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from winnow.retrieval.index.centroids import STEPS, learn_centroids
from winnow.retrieval.records import Vectors
from winnow.retrieval.store.contract import VectorBatch

DIMENSION = 16
LISTS = 12
_FAISS: Any = faiss


def unit(rows: NDArray[np.float64]) -> Vectors:
    normed: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return normed


def clustered(count: int) -> Vectors:
    chance = np.random.default_rng(7)
    things = chance.normal(size=(30, DIMENSION))
    return unit(things[chance.integers(0, 30, count)] + 0.4 * chance.normal(size=(count, DIMENSION)))


def batches(vectors: Vectors) -> Iterator[VectorBatch]:
    """Of uneven sizes."""
    for start, stop in ((0, 1), (1, 700), (700, len(vectors))):
        yield VectorBatch(numbers=np.arange(start, stop, dtype=np.int64), vectors=vectors[start:stop])


def learned(sample: Vectors, vectors: Vectors | None) -> Vectors:
    index = _FAISS.index_factory(DIMENSION, f"IVF{LISTS},PQ8x4fs", faiss.METRIC_INNER_PRODUCT)
    learn_centroids(index, sample, None if vectors is None else lambda: batches(vectors))
    index.train(sample)  # the codes; it leaves the centroids as they are
    centroids: Vectors = _FAISS.downcast_index(index.quantizer).reconstruct_n(0, LISTS)
    return centroids


def test_centroids_lie_in_the_middle_of_what_is_nearest_to_them() -> None:
    """As many steps as there are, from where the sample leaves them, over all vectors at once."""
    vectors = clustered(3_000)
    expected = learned(vectors[:600], None)
    for _ in range(STEPS):
        nearest = np.argmax(vectors @ expected.T, axis=1)
        expected = unit(np.stack([vectors[nearest == place].sum(axis=0, dtype=np.float64) for place in range(LISTS)]))
    np.testing.assert_allclose(learned(vectors[:600], vectors), expected, atol=1e-5)


def test_more_of_the_nearest_lie_in_the_nearest_lists() -> None:
    """What it is for: similarity of the vectors to their centroids, summed, never falls."""
    vectors = clustered(3_000)
    before, after = (
        np.max(vectors @ centroids.T, axis=1).sum()
        for centroids in (learned(vectors[:600], None), learned(vectors[:600], vectors))
    )
    assert after > before


def test_a_list_that_nobody_is_nearest_to_stays_where_it_is() -> None:
    """All vectors are one and the same; one centroid goes there, and the others are not lost in nowhere."""
    sample = clustered(600)
    one = np.repeat(sample[:1], 50, axis=0)
    before, after = learned(sample, None), learned(sample, one)
    there = int(np.argmax(before @ one[0]))
    np.testing.assert_allclose(after[there], one[0], atol=1e-6)
    rest = np.arange(LISTS) != there
    np.testing.assert_array_equal(after[rest], before[rest])
