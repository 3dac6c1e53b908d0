"""What do two lists of chunk numbers have in common? Both ascend, so that nothing needs to be sorted for it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from winnow.retrieval.records import ChunkNumbers

_SPAN_MAX: Final = 8  # numbers from first to last for each that is there; a table of more would be mostly empty
_FEW: Final = 0.02  # chosen ones of each number; fewer are looked up one by one


def among(numbers: ChunkNumbers, others: ChunkNumbers) -> NDArray[np.bool_]:
    """Which of the numbers, in any order, are among the others, which ascend."""
    if not len(others):
        return np.zeros(len(numbers), dtype=np.bool_)
    positions = np.minimum(np.searchsorted(others, numbers), len(others) - 1)
    matches: NDArray[np.bool_] = others[positions] == numbers
    return matches


def marked(numbers: ChunkNumbers, chosen: ChunkNumbers) -> NDArray[np.bool_]:
    """Which of the numbers are among the chosen; both ascend, and the numbers are usually far more.

    A few are looked up one by one. Many are struck in a table of all numbers from the first to the last, which takes
    a sixth of the time where half of a large index is chosen.
    """
    if not len(numbers):
        return np.zeros(0, dtype=np.bool_)
    first, last = int(numbers[0]), int(numbers[-1])
    is_dense = last - first < _SPAN_MAX * len(numbers)
    if is_dense and len(chosen) > _FEW * len(numbers):
        inside = chosen[np.searchsorted(chosen, first) : np.searchsorted(chosen, last, side="right")]
        table = np.zeros(last - first + 1, dtype=np.bool_)
        table[inside - first] = True
        struck: NDArray[np.bool_] = table[numbers - first]
        return struck
    positions = np.minimum(np.searchsorted(numbers, chosen), len(numbers) - 1)
    marks = np.zeros(len(numbers), dtype=np.bool_)
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
