"""Finds the few vectors that can be among the nearest, by one byte per dimension, before these are compared in full.

A scan of all vectors waits for memory, and bytes are a quarter of it. The answer is that of the full scan, to the bit:

    v = s * c + rest      c: whole numbers in [-127, 127], s: a step for each dimension, r: the longest rest
    q * s = t * b + rho   b: likewise, t: one step for the query
    |q . v - t (b . c)| <= |q| r + |rho| |c|, and rounding in float32 adds `_rounding` at most

So a vector whose estimate is more than this bound below the k-th best is not among the k best. The candidates' full
products come from the function that the full scan calls. No build of FAISS is trusted with the bound: it is checked for
each candidate of each search, and where it does not hold, all vectors are compared.
"""

from __future__ import annotations

from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from winnow.retrieval.records import Vectors

COUNT_MIN: Final = 4_096  # vectors; fewer fit in a core's cache
BYTES_MAX: Final = 1 << 28  # of codes; beyond, the memory is wanted for something else
_STEPS: Final = 127
_BLOCK: Final = 4_096  # vectors; 8 MB at 512 dimensions
_AHEAD: Final = 64  # candidates more than twice k; with k = 100, 173 (at most 263) of 20,000 were within the bound
_WIDER: Final = 4  # times as many candidates, where these were too few
_SHARE_MAX: Final = 0.25  # of the vectors as candidates; a full scan is as fast
_UNIT: Final = 2.0**-24  # rounding of one operation in float32
_SLACK: Final = 1e-3  # of the rest's length, which is computed in float32 itself
_FAISS: Final[Any] = faiss  # its stubs have the C++ constructors, not the Python ones


class Prescan:
    """The codes of an index's vectors. Immutable."""

    def __init__(self, codes: Any, steps: Vectors, *, rest: float, longest: float, longest_code: float) -> None:
        """`codes` is FAISS's index of them, `rest` the longest rest, `longest` the longest vector."""
        self._codes = codes
        self._steps = steps
        self._rest = rest
        self._longest_code = longest_code
        self._rounding = 2.0 * (len(steps) + 2) * _UNIT * (longest + rest)

    @classmethod
    def over(cls, vectors: Vectors) -> Prescan | None:
        """Encode these vectors; None where they are too few, too many, or not finite."""
        count, dimension = vectors.shape
        if count < COUNT_MIN or count * dimension > BYTES_MAX:
            return None
        blocks = [vectors[start : start + _BLOCK] for start in range(0, count, _BLOCK)]
        largest = np.max([np.abs(block).max(axis=0) for block in blocks], axis=0)
        if not np.isfinite(largest).all():
            return None
        steps = np.where(largest > 0, largest / _STEPS, 1).astype(np.float32)
        codes = _FAISS.IndexScalarQuantizer(
            dimension, _FAISS.ScalarQuantizer.QT_8bit_direct_signed, _FAISS.METRIC_INNER_PRODUCT
        )
        codes.codes.resize(vectors.size)
        codes.codes.resize(0)  # the capacity stays: growing would take twice the memory
        rest = longest = longest_code = 0.0
        for block in blocks:
            whole = np.clip(np.rint(block / steps), -_STEPS, _STEPS)
            codes.add(whole)
            rest = max(rest, _longest(block - whole * steps))
            longest, longest_code = max(longest, _longest(block)), max(longest_code, _longest(whole))
        steps[largest == 0] = 0  # no vector has anything there
        return cls(codes, steps, rest=rest + 4 * _UNIT * longest, longest=longest, longest_code=longest_code)

    @property
    def bytes(self) -> int:
        return int(self._codes.ntotal) * len(self._steps)

    def candidates(
        self, query: Vectors, count: int, parameters: Any = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], float]:
        """Return the `count` best estimates, their positions, and the bound. A vector left out has no better one."""
        exact = query.astype(np.float64)
        scaled = exact * self._steps
        step = float(np.abs(scaled).max()) / _STEPS or 1.0
        whole = np.rint(scaled / step)
        products, positions = self._codes.search(whole.astype(np.float32).reshape(1, -1), count, params=parameters)
        length, rho = float(np.linalg.norm(exact)), float(np.linalg.norm(scaled - step * whole))
        bound = length * (self._rest + self._rounding) + rho * self._longest_code * (1.0 + _SLACK)
        return step * products[0].astype(np.float64), positions[0], bound


def first_width(k: int) -> int:
    """How many candidates to try for the `k` nearest."""
    return 2 * k + _AHEAD


def wider(width: int) -> int:
    """How many to try after `width` of them were too few."""
    return _WIDER * width


def is_worth_it(width: int, count: int) -> bool:
    """Whether so many candidates of `count` vectors are faster than comparing all."""
    return width <= _SHARE_MAX * count


def holds(estimates: NDArray[np.float64], similarities: Vectors, bound: float) -> bool:
    """Whether the bound holds for these candidates."""
    return bool(np.all(np.abs(estimates - similarities) <= bound))


def is_complete(estimates: NDArray[np.float64], similarities: Vectors, k: int, bound: float) -> bool:
    """Whether the `k` nearest, and all that are as near as the last of them, are among the candidates."""
    kth = float(np.partition(similarities, len(similarities) - k)[len(similarities) - k])
    return float(estimates[-1]) + bound < kth


def _longest(rows: Vectors) -> float:
    return float(np.sqrt(np.einsum("ij,ij->i", rows, rows).max())) * (1.0 + _SLACK)
