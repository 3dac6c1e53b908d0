"""Tests a kind of index on a few vectors before a large index of that kind is trusted.

FAISS on a GPU without cuVS ignores selectors; cuVS pads its answers with duplicates; a graph may not reach the second
of two vectors. None of them reports it. An index kind that fails here is neither published nor opened, and every answer
of an index is checked once more (retrieval/index/faiss_ann.py, retrieval/index/filtered_search.py).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from winnow.retrieval.records import Vectors

PROBE_DIMENSION: Final = 32
_SEED: Final = 7


class RawSearch(Protocol):
    """Search for the nearest `k` positions among those that are `held`, or among all; unchecked."""

    def __call__(self, query: Vectors, k: int, held: NDArray[np.bool_] | None) -> tuple[Vectors, NDArray[np.int64]]: ...


class IndexFault(StrEnum):
    """A wrong behaviour of an index."""

    SELECTOR_IGNORED = "returns vectors that are excluded or do not exist"
    REPEATED = "returns the same vector twice"
    LOST = "returns fewer vectors than there are"
    WRONG = "does not return the nearest first"


def find_faults(build: Callable[[Vectors], RawSearch]) -> set[IndexFault]:
    """Test an index kind. `build` makes an index of these unit vectors of `PROBE_DIMENSION`; it may train on others."""
    first, second = _apart(2)
    pair, alike = build(np.stack([first, second])), build(np.stack([first, first, first, second]))
    found: set[IndexFault] = set()
    for k in (1, 2, 5):  # 5 is more than there are
        found |= _compare(pair(first, k, None)[1], k=k, allowed=[0, 1], nearest=[0])
        found |= _compare(pair(first, k, np.array([False, True]))[1], k=k, allowed=[1], nearest=[1])
        found |= _compare(alike(first, k, None)[1], k=k, allowed=[0, 1, 2, 3], nearest=[0, 1, 2])
        held = np.array([False, True, True, False])
        found |= _compare(alike(first, k, held)[1], k=k, allowed=[1, 2], nearest=[1, 2])
    return found


def _compare(positions: NDArray[np.int64], *, k: int, allowed: list[int], nearest: list[int]) -> set[IndexFault]:
    """Compare one answer with the truth. `nearest` are equally near, and nearer than the others that are allowed."""
    given = [position for position in positions.tolist() if position != -1]  # -1 means no hit
    proper = list(dict.fromkeys(position for position in given if position in allowed))
    first = proper[: min(len(proper), len(nearest))]
    checks = {
        IndexFault.REPEATED: len(set(given)) < len(given),
        IndexFault.SELECTOR_IGNORED: not set(given) <= set(allowed),
        IndexFault.LOST: len(proper) < min(k, len(allowed)),
        IndexFault.WRONG: not set(first) <= set(nearest),
    }
    return {misdeed for misdeed, is_so in checks.items() if is_so}


def _apart(count: int) -> Vectors:
    vectors = np.random.default_rng(_SEED).normal(size=(count, PROBE_DIMENSION)).astype(np.float32)
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
