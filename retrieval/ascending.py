"""What do two lists of chunk numbers have in common? Both ascend, so that nothing needs to be sorted for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrieval.records import ChunkNumbers


def among(numbers: ChunkNumbers, others: ChunkNumbers) -> NDArray[np.bool_]:
    """Which of the numbers, in any order, are among the others, which ascend."""
    if not len(others):
        return np.zeros(len(numbers), dtype=np.bool_)
    positions = np.minimum(np.searchsorted(others, numbers), len(others) - 1)
    matches: NDArray[np.bool_] = others[positions] == numbers
    return matches


def marked(numbers: ChunkNumbers, chosen: ChunkNumbers) -> NDArray[np.bool_]:
    """The same where both ascend, and the chosen are looked up instead: far fewer, of a large index and a filter."""
    marks = np.zeros(len(numbers), dtype=np.bool_)
    if len(numbers):
        positions = np.minimum(np.searchsorted(numbers, chosen), len(numbers) - 1)
        marks[positions[numbers[positions] == chosen]] = True
    return marks


def common(some: ChunkNumbers, others: ChunkNumbers) -> ChunkNumbers:
    """Those of `some` that are among the others; both ascend."""
    if not len(some) or not len(others):
        return some[:0]
    some = some[np.searchsorted(some, others[0]) : np.searchsorted(some, others[-1], side="right")]
    return some[among(some, others)]


def without(numbers: ChunkNumbers, others: ChunkNumbers) -> ChunkNumbers:
    """Those of `numbers`, in their order, that are not among the others, which ascend."""
    return numbers[~among(numbers, others)]
