"""Where do the lists of an inverted index lie? Learned from a sample in memory, then from everything, batch by batch.

K-means over a sample costs little and leaves the lists askew. Of a million vectors 384 of 3,276 lists held 0.990 of the
nearest; after each centroid had moved twice to the middle of all the vectors that are nearest to it, 300 did. Moving is
a step of k-means (Lloyd, 1982); it costs what adding the vectors does, and no memory that grows with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

import faiss
import numpy as np

from winnow.retrieval.records import Vectors
from winnow.retrieval.store.contract import VectorBatch

STEPS: Final = 2  # the first saves a search a seventh of its lists or more, the second a tenth; a third was not tried
_FAISS: Final[Any] = faiss  # its stubs know the constructors of C++, not those of Python

Everything: TypeAlias = Callable[[], Iterator[VectorBatch]]


def learn_centroids(lists: Any, sample: Vectors, everything: Everything | None = None) -> None:
    """Gives this untrained inverted index of FAISS its centroids; codes are still to be learned after it.

    `sample` is (n, dimension), float32, unit vectors; `everything` gives all vectors anew each time it is called.
    """
    verbose = False
    lists.train_q1(len(sample), _FAISS.swig_ptr(sample), verbose, faiss.METRIC_INNER_PRODUCT)
    if everything is None:
        return
    quantizer = _FAISS.downcast_index(lists.quantizer)
    for _ in range(STEPS):
        moved = _moved(quantizer, everything())
        quantizer.reset()
        quantizer.add(moved)


def _moved(quantizer: Any, batches: Iterator[VectorBatch]) -> Vectors:
    """Each centroid to the middle of the vectors that are nearest to it, and back onto the sphere."""
    centroids: Vectors = quantizer.reconstruct_n(0, quantizer.ntotal)
    sums = np.zeros(centroids.shape, dtype=np.float64)
    for batch in batches:
        vectors = np.ascontiguousarray(batch.vectors, dtype=np.float32)
        nearest = quantizer.search(vectors, 1)[1][:, 0]
        order = np.argsort(nearest, kind="stable")
        places, starts = np.unique(nearest[order], return_index=True)
        sums[places] += np.add.reduceat(vectors[order], starts, axis=0, dtype=np.float64)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    is_held = lengths > 0  # a list that nobody is nearest to stays where it is
    middles: Vectors = np.where(is_held, sums / np.where(is_held, lengths, 1.0), centroids).astype(np.float32)
    return middles
