"""Which chunks of this view does recall propose, by meaning, by words or by both?

Whatever way a chunk was found, its cosine is computed: its vector is at hand, and a reranker that blends relevance with
similarity, or stops judging where similarity tells enough, needs one of every candidate.
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

POOL_MIN: Final = 300  # hits of each search; below it fusion finds less, beyond it hardly more (bench/RESULTS.md)
POOL_PER_CANDIDATE: Final = 3  # hits of each search, where more than 100 candidates are wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Chunks in recall's order, and what each of them scored; NaN where it has no such score."""

    numbers: ChunkNumbers
    similarities: Vectors  # cosine
    lexical_scores: Vectors  # BM25
    standings: NDArray[np.float64]  # what they are ordered by, in standard deviations (retrieval/search/fusion.py)
    scores: NDArray[np.float64] | None = None  # what they are ordered by; None: the similarities
    lexical_ms: float | None = None  # of the search by words; None where there was none
    filtered: Filtered | None = None  # how the filter was answered; None where there was none

    def at(self, places: Sequence[int]) -> Proposal:
        """Only these of them, in this order."""
        return replace(
            self,
            numbers=self.numbers[places],
            similarities=self.similarities[places],
            lexical_scores=self.lexical_scores[places],
            standings=self.standings[places],
            scores=None if self.scores is None else self.scores[places],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools:
    """What hybrid search fuses: the hits of both searches."""

    near: Hits
    worded: LexicalHits
    worded_similarities: Vectors  # cosines of `worded`
    asked: int  # hits that each search was asked for
    lexical_ms: float
    filtered: Filtered | None


def proposal(
    view: Searcher, vector: Vectors, query: str, *, mode: RecallMode, width: int, matching: ChunkNumbers | None
) -> Proposal:
    """The best `width` chunks, of those that match a filter where there is one: live ones, ascending.

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
    """Both searches, wide enough for `width` candidates. Raises `WordsNotIndexed`."""
    asked = max(POOL_MIN, POOL_PER_CANDIDATE * width)
    began = time.perf_counter()
    worded = view.snapshot.lexical(query, asked, allowed=matching)
    lexical_ms = 1000.0 * (time.perf_counter() - began)
    similarities, _ = _similarities(view, vector, worded.numbers)
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
    similarities, filtered = _similarities(view, vector, worded.numbers)
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


def _similarities(view: Searcher, vector: Vectors, numbers: ChunkNumbers) -> tuple[Vectors, Filtered]:
    """The cosines of these live chunks, in their order: so few are compared one by one."""
    hits, filtered = view.search_matching(vector, len(numbers), np.sort(numbers))
    assert len(hits.numbers) == len(numbers), "what is live is in the generation or beside it. This is a bug."
    by_number = np.argsort(hits.numbers)
    return hits.similarities[by_number][np.searchsorted(hits.numbers[by_number], numbers)], filtered
