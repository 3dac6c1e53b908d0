"""Finds candidates in a view: by meaning (dense), by words (lexical), or by both (hybrid).

Every candidate gets a cosine, however it was found: its vector is at hand, and a reranker that combines relevance with
similarity, or stops when similarity is enough, needs one for every candidate.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from winnow.retrieval.index.filtered_search import Filtered
from winnow.retrieval.index.vector_index import Hits
from winnow.retrieval.records import ChunkNumbers, RecallMode, Vectors
from winnow.retrieval.search.fusion import deviations, fused
from winnow.retrieval.search.reader import Searcher
from winnow.retrieval.store.contract import LexicalHits

POOL_MIN: Final = 300  # hits per search; with fewer, fusion finds less, with more hardly more (bench/RESULTS.md)
POOL_PER_CANDIDATE: Final = 3  # hits per search, for more than 100 candidates


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Chunks in recall's order with their scores; NaN if a chunk has no such score."""

    numbers: ChunkNumbers
    similarities: Vectors  # cosine
    lexical_scores: Vectors  # BM25
    standings: NDArray[np.float64]  # their order in standard deviations (retrieval/search/fusion.py)
    scores: NDArray[np.float64] | None = None  # the scores of their order; None: the similarities
    lexical_ms: float | None = None  # duration of the lexical search; None if there was none
    filtered: Filtered | None = None  # how the filter was applied; None if there was none
    places: NDArray[np.int64] | None = None  # in the list of each of several queries, from 1; 0: not in it

    def at(self, places: Sequence[int]) -> Proposal:
        """Return only these chunks, in this order."""
        return replace(
            self,
            numbers=self.numbers[places],
            similarities=self.similarities[places],
            lexical_scores=self.lexical_scores[places],
            standings=self.standings[places],
            scores=None if self.scores is None else self.scores[places],
            places=None if self.places is None else self.places[places],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools:
    """The hits of both searches, which hybrid search fuses."""

    near: Hits
    worded: LexicalHits
    worded_similarities: Vectors  # cosines of `worded`
    asked: int  # hits requested from each search
    lexical_ms: float
    filtered: Filtered | None


def propose(
    view: Searcher, vector: Vectors, query: str, *, mode: RecallMode, width: int, matching: ChunkNumbers | None
) -> Proposal:
    """Return the best `width` chunks, among `matching` if there is a filter: live chunks, ascending.

    Raises `WordsNotIndexed`.
    """
    if mode is RecallMode.DENSE:
        return _by_meaning(*_nearest(view, vector, width, matching))
    if mode is RecallMode.LEXICAL:
        return _by_words(view, vector, query, width, matching)
    found = search_pools(view, vector, query, width=width, matching=matching)
    best = fused(found.near, found.worded, found.worded_similarities, asked=found.asked, k=width)
    return Proposal(
        numbers=best.numbers,
        similarities=best.similarities,
        lexical_scores=best.lexical_scores,
        standings=best.scores,
        scores=best.scores,
        lexical_ms=found.lexical_ms,
        filtered=found.filtered,
    )


def search_pools(view: Searcher, vector: Vectors, query: str, *, width: int, matching: ChunkNumbers | None) -> Pools:
    """Run both searches, wide enough for `width` candidates. Raises `WordsNotIndexed`."""
    asked = max(POOL_MIN, POOL_PER_CANDIDATE * width)
    began = time.perf_counter()
    worded = view.snapshot.lexical(query, asked, allowed=matching)
    lexical_ms = 1000.0 * (time.perf_counter() - began)
    similarities, _ = similarities_of(view, vector, worded.numbers)
    near, filtered = _nearest(view, vector, asked, matching)
    return Pools(
        near=near,
        worded=worded,
        worded_similarities=similarities,
        asked=asked,
        lexical_ms=lexical_ms,
        filtered=filtered,
    )


def _by_words(view: Searcher, vector: Vectors, query: str, width: int, matching: ChunkNumbers | None) -> Proposal:
    began = time.perf_counter()
    worded = view.snapshot.lexical(query, width, allowed=matching)
    lexical_ms = 1000.0 * (time.perf_counter() - began)
    similarities, filtered = similarities_of(view, vector, worded.numbers)
    return Proposal(
        numbers=worded.numbers,
        similarities=similarities,
        lexical_scores=worded.scores,
        standings=deviations(worded.scores, worded.scores),
        scores=worded.scores.astype(np.float64),
        lexical_ms=lexical_ms,
        filtered=None if matching is None else replace(filtered, matching=len(matching)),
    )


def _by_meaning(hits: Hits, filtered: Filtered | None) -> Proposal:
    return Proposal(
        numbers=hits.numbers,
        similarities=hits.similarities,
        lexical_scores=np.full(len(hits.numbers), np.nan, dtype=np.float32),
        standings=deviations(hits.similarities, hits.similarities),
        filtered=filtered,
    )


def _nearest(view: Searcher, vector: Vectors, k: int, matching: ChunkNumbers | None) -> tuple[Hits, Filtered | None]:
    return (view.search(vector, k), None) if matching is None else view.search_matching(vector, k, matching)


def similarities_of(view: Searcher, vector: Vectors, numbers: ChunkNumbers) -> tuple[Vectors, Filtered]:
    """Return the cosines of these live chunks, in their order: so few are compared one by one."""
    hits, filtered = view.search_matching(vector, len(numbers), np.sort(numbers))
    assert len(hits.numbers) == len(numbers), "live chunks are in the generation or the delta. This is a bug."
    by_number = np.argsort(hits.numbers)
    return hits.similarities[by_number][np.searchsorted(hits.numbers[by_number], numbers)], filtered
