"""Nearest neighbours among allowed chunks. The filter is applied before the search, and every hit is checked after it.

    gathered   the allowed vectors are fetched from the index and compared one by one
    selected   the index is searched with a selector
    refilled   the index is searched without a selector, for ever more hits, until enough of them are allowed

A graph or list searched with a selector loses what it cannot reach: with 1 of 100 chunks allowed, HNSW found less than
half of them. So a few are gathered, which is exact over what the index holds, and fast. No index is trusted to honour
the selector (FAISS on a GPU silently ignores it): each number is checked against the allowed ones here, and an index
that returns others, or too few, is asked in another way.
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

GATHERED_SHARE_MAX: Final = 0.1  # of an exact index; beyond it a flat index with a selector is as fast (bench.filtered)
GATHERED_MAX: Final = 32_768  # chunks, of an approximate index; beyond it an HNSW search that is wide enough is as fast
GATHERED_BESIDE_DEVICE_MAX: Final = 2_048  # chunks; a device compares more than that sooner than they are gathered
GATHERED_ALWAYS_SHARE: Final = 0.02  # of an approximate index; below it HNSW would have to visit most of it
GATHERED_AT_ONCE: Final = 16_384  # vectors; 64 MB at 1,024 dimensions, the unit that bounds memory
REFILL_ROUNDS_MAX: Final = 3  # rounds before the allowed vectors are compared one by one


class Way(StrEnum):
    """How the nearest allowed chunks were found."""

    GATHERED = "gathered"
    SELECTED = "selected"
    REFILLED = "refilled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filtered:
    """How a filtered search ran."""

    matching: int  # chunks that match
    of: int  # chunks of the collection
    way: Way  # in the generation; newer chunks are always compared one by one


def search_allowed(index: VectorIndex, vector: Vectors, k: int, allowed: ChunkNumbers) -> tuple[Hits, Way]:
    """Return the `k` nearest allowed chunks of the index; fewer only if there are fewer."""
    inside = intersect_sorted(allowed, index.numbers)
    wanted = min(k, len(inside))
    if len(inside) <= max(k, _few(index)):
        return search_gathered(index, vector, k, inside), Way.GATHERED
    hits = keep_allowed(index.search(vector, k, allowed=inside), inside)
    if len(hits.numbers) >= wanted:
        return hits, Way.SELECTED
    asked = k
    for _ in range(REFILL_ROUNDS_MAX):
        asked = min(4 * asked, len(index.numbers))
        hits = keep_allowed(index.search(vector, asked), inside)
        if len(hits.numbers) >= wanted:
            return Hits(numbers=hits.numbers[:k], similarities=hits.similarities[:k]), Way.REFILLED
    return search_gathered(index, vector, k, inside), Way.GATHERED


def _few(index: VectorIndex) -> float:
    """Up to this many allowed chunks are compared one by one."""
    if index.is_exact:
        return GATHERED_SHARE_MAX * len(index.numbers)
    if index.selects:
        return GATHERED_BESIDE_DEVICE_MAX
    return max(GATHERED_MAX, GATHERED_ALWAYS_SHARE * len(index.numbers))


def keep_allowed(hits: Hits, allowed: ChunkNumbers) -> Hits:
    """Keep distinct, allowed hits."""
    _, first = np.unique(hits.numbers, return_index=True)
    first = np.sort(first)
    first = first[isin_sorted(hits.numbers[first], allowed)]
    return Hits(numbers=hits.numbers[first], similarities=hits.similarities[first])


def merge_hits(found: Sequence[Hits], k: int) -> Hits:
    """Merge answers that share no chunk into the `k` nearest."""
    numbers = np.concatenate([hits.numbers for hits in found])
    similarities = np.concatenate([hits.similarities for hits in found])
    order = np.lexsort((numbers, -similarities))[:k]
    return Hits(numbers=numbers[order], similarities=similarities[order])


def search_gathered(index: VectorIndex, vector: Vectors, k: int, inside: ChunkNumbers) -> Hits:
    """Compare these chunks, all of which are in the index, one by one."""
    blocks = [inside[start : start + GATHERED_AT_ONCE] for start in range(0, max(1, len(inside)), GATHERED_AT_ONCE)]
    return merge_hits([ExactIndex(block, index.vectors_of(block)).search(vector, k) for block in blocks], k)
