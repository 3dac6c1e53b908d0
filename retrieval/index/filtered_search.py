"""Which of the allowed chunks are nearest? Whoever may answer is decided before, and every answer is checked after.

    gathered   the allowed vectors are taken out of the index and compared one by one
    selected   the index is searched, and told who may answer
    refilled   the index is asked for ever more, without being told, until enough of what it gives is allowed

A graph or a list that is searched under a selector loses what it cannot reach: with 1 of 100 chunks allowed, HNSW found
less than half of them. So few are gathered, which is exact over what the index holds, and fast. No index is trusted to
have honoured the selector: FAISS on a GPU ignores it without a word. Each number is compared with the allowed ones
here, and an index that gives others, or fewer than there are, is asked in another way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from winnow.retrieval.arrays import intersect_sorted, isin_sorted
from winnow.retrieval.index.vector_index import ExactIndex, Hits, VectorIndex
from winnow.retrieval.records import ChunkNumbers, Vectors

GATHERED_SHARE_MAX: Final = 0.1  # of an exact index; beyond it a flat one under a selector is as fast (bench.filtered)
GATHERED_MAX: Final = 32_768  # chunks, of an index that is not exact; beyond it HNSW that looks far enough is as fast
GATHERED_BESIDE_DEVICE_MAX: Final = 2_048  # chunks; a device compares more than that sooner than they are gathered
GATHERED_ALWAYS_SHARE: Final = 0.02  # of an index that is not exact; below it HNSW would have to look at most of it
GATHERED_AT_ONCE: Final = 16_384  # vectors; 64 MB at 1,024 dimensions, the unit in which memory is bounded
REFILL_ROUNDS_MAX: Final = 3  # times that more is asked for, before the allowed vectors are compared one by one


class Way(StrEnum):
    """How it was found which of the allowed chunks are nearest."""

    GATHERED = "gathered"
    SELECTED = "selected"
    REFILLED = "refilled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filtered:
    """How a filter was answered."""

    matching: int  # chunks that may answer
    of: int  # chunks of the collection
    way: Way  # in the generation; what is newer is always compared one by one


def nearest_allowed(index: VectorIndex, vector: Vectors, k: int, allowed: ChunkNumbers) -> tuple[Hits, Way]:
    """The `k` nearest of those chunks of the index that are allowed; fewer only where there are fewer."""
    inside = intersect_sorted(allowed, index.numbers)
    wanted = min(k, len(inside))
    if len(inside) <= max(k, _few(index)):
        return gathered(index, vector, k, inside), Way.GATHERED
    hits = only(index.search(vector, k, allowed=inside), inside)
    if len(hits.numbers) >= wanted:
        return hits, Way.SELECTED
    asked = k
    for _ in range(REFILL_ROUNDS_MAX):
        asked = min(4 * asked, len(index.numbers))
        hits = only(index.search(vector, asked), inside)
        if len(hits.numbers) >= wanted:
            return Hits(numbers=hits.numbers[:k], similarities=hits.similarities[:k]), Way.REFILLED
    return gathered(index, vector, k, inside), Way.GATHERED


def _few(index: VectorIndex) -> float:
    """So many are compared one by one."""
    if index.is_exact:
        return GATHERED_SHARE_MAX * len(index.numbers)
    if index.selects:
        return GATHERED_BESIDE_DEVICE_MAX
    return max(GATHERED_MAX, GATHERED_ALWAYS_SHARE * len(index.numbers))


def only(hits: Hits, allowed: ChunkNumbers) -> Hits:
    """What of an index's answer may be answered with, each once."""
    _, first = np.unique(hits.numbers, return_index=True)
    first = np.sort(first)
    first = first[isin_sorted(hits.numbers[first], allowed)]
    return Hits(numbers=hits.numbers[first], similarities=hits.similarities[first])


def merged(found: Sequence[Hits], k: int) -> Hits:
    """The `k` nearest of several answers that share no chunk."""
    numbers = np.concatenate([hits.numbers for hits in found])
    similarities = np.concatenate([hits.similarities for hits in found])
    order = np.lexsort((numbers, -similarities))[:k]
    return Hits(numbers=numbers[order], similarities=similarities[order])


def gathered(index: VectorIndex, vector: Vectors, k: int, inside: ChunkNumbers) -> Hits:
    """The `k` nearest of these chunks, all of which the index holds, compared one by one."""
    blocks = [inside[start : start + GATHERED_AT_ONCE] for start in range(0, max(1, len(inside)), GATHERED_AT_ONCE)]
    return merged([ExactIndex(block, index.vectors_of(block)).search(vector, k) for block in blocks], k)
