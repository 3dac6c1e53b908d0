"""Does this build of this kind of index do what it is told? Asked of a tiny one, before a large one is relied on.

FAISS on a GPU without cuVS ignores who may answer; cuVS fills its answers up with repeats; a graph may not reach the
second of two vectors. None of them says so. An index that fails here is neither published nor opened; and all that
leaves any index is checked once more (retrieval/index/faiss_ann.py, retrieval/index/filtered_search.py).
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


class Asked(Protocol):
    """The nearest `k` positions to a query, among those that are `held`; unchecked."""

    def __call__(self, query: Vectors, k: int, held: NDArray[np.bool_] | None) -> tuple[Vectors, NDArray[np.int64]]: ...


class Misdeed(StrEnum):
    """What an index does wrong."""

    SELECTOR_IGNORED = "answers with what may not answer, or is not there"
    REPEATED = "gives the same vector twice"
    LOST = "gives fewer than there are"
    WRONG = "does not give the nearest first"


def misdeeds(build: Callable[[Vectors], Asked]) -> set[Misdeed]:
    """`build` makes an index of these unit vectors, of `PROBE_DIMENSION`; it may learn from others of its own."""
    first, second = _apart(2)
    pair, alike = build(np.stack([first, second])), build(np.stack([first, first, first, second]))
    found: set[Misdeed] = set()
    for k in (1, 2, 5):  # 5 are more than there are
        found |= _judged(pair(first, k, None)[1], k=k, allowed=[0, 1], nearest=[0])
        found |= _judged(pair(first, k, np.array([False, True]))[1], k=k, allowed=[1], nearest=[1])
        found |= _judged(alike(first, k, None)[1], k=k, allowed=[0, 1, 2, 3], nearest=[0, 1, 2])
        held = np.array([False, True, True, False])
        found |= _judged(alike(first, k, held)[1], k=k, allowed=[1, 2], nearest=[1, 2])
    return found


def _judged(positions: NDArray[np.int64], *, k: int, allowed: list[int], nearest: list[int]) -> set[Misdeed]:
    """`nearest` are equally near, and come before the others that are allowed."""
    given = [position for position in positions.tolist() if position != -1]  # which stands for nothing
    proper = list(dict.fromkeys(position for position in given if position in allowed))
    first = proper[: min(len(proper), len(nearest))]
    checks = {
        Misdeed.REPEATED: len(set(given)) < len(given),
        Misdeed.SELECTOR_IGNORED: not set(given) <= set(allowed),
        Misdeed.LOST: len(proper) < min(k, len(allowed)),
        Misdeed.WRONG: not set(first) <= set(nearest),
    }
    return {misdeed for misdeed, is_so in checks.items() if is_so}


def _apart(count: int) -> Vectors:
    vectors = np.random.default_rng(_SEED).normal(size=(count, PROBE_DIMENSION)).astype(np.float32)
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
