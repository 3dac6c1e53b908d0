"""Learns the centroids of an inverted index: from a sample in memory, then from all vectors, batch by batch.

K-means over a sample is cheap but leaves the lists unbalanced. With a million vectors, 384 of 3,276 lists held 0.990 of
the nearest; after moving each centroid twice to the mean of all its vectors, 300 did. Each move is a step of k-means
(Lloyd, 1982); it costs as much as adding the vectors, and constant memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

import faiss
import numpy as np

from winnow.retrieval.records import Vectors
from winnow.retrieval.store.contract import VectorBatch

STEPS: Final = 2  # the first saves a search at least a seventh of its lists, the second a tenth; a third was not tried
_FAISS: Final[Any] = faiss  # its stubs have the C++ constructors, not the Python ones

Everything: TypeAlias = Callable[[], Iterator[VectorBatch]]


def learn_centroids(lists: Any, sample: Vectors, everything: Everything | None = None) -> None:
    """Set the centroids of an untrained inverted FAISS index; its codes must be trained afterwards.

    `sample` is (n, dimension), float32, unit vectors. `everything` yields all vectors at each call.
    """
    verbose = False
    lists.train_q1(len(sample), _FAISS.swig_ptr(sample), verbose, faiss.METRIC_INNER_PRODUCT)
    if everything is None:
        return
    quantizer = _FAISS.downcast_index(lists.quantizer)
    for _ in range(STEPS):
        moved = _move(quantizer, everything())
        quantizer.reset()
        quantizer.add(moved)


def _move(quantizer: Any, batches: Iterator[VectorBatch]) -> Vectors:
    """Move each centroid to the mean of its nearest vectors, normalised."""
    centroids: Vectors = quantizer.reconstruct_n(0, quantizer.ntotal)
    sums = np.zeros(centroids.shape, dtype=np.float64)
    for batch in batches:
        vectors = np.ascontiguousarray(batch.vectors, dtype=np.float32)
        nearest = quantizer.search(vectors, 1)[1][:, 0]
        order = np.argsort(nearest, kind="stable")
        places, starts = np.unique(nearest[order], return_index=True)
        sums[places] += np.add.reduceat(vectors[order], starts, axis=0, dtype=np.float64)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    is_held = lengths > 0  # an empty list stays where it is
    middles: Vectors = np.where(is_held, sums / np.where(is_held, lengths, 1.0), centroids).astype(np.float32)
    return middles
