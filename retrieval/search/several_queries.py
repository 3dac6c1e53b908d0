"""Finds candidates for several queries of one search, and fuses their lists into one order.

Each list has its scores in standard deviations of its own search (retrieval/search/fusion.py). A chunk's score is the
mean of them; for a query that did not find it, the last score of that query's list counts. On judged collections this
orders better than reciprocal ranks, which forget how far the first chunks of a list stand out (bench/RESULTS.md).

Rule 1: all queries see one view. Rule 2: a chunk is a candidate once, whatever number of queries found it. Rule 3: its
cosine and its BM25 score are those of the main query, which is the first: the reranker judges by that one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from winnow.retrieval.records import ChunkNumbers, RecallMode, Vectors
from winnow.retrieval.search.hybrid import Proposal, propose, similarities_of
from winnow.retrieval.search.reader import Searcher


def propose_for_all(
    view: Searcher,
    vectors: Vectors,
    queries: Sequence[str],
    *,
    mode: RecallMode,
    width: int,
    matching: ChunkNumbers | None,
    before_each: Callable[[], None],
) -> Proposal:
    """Return the best `width` chunks of all queries; `before_each` may raise. Raises `WordsNotIndexed`."""
    found = []
    for vector, query in zip(vectors, queries, strict=True):
        before_each()
        found.append(propose(view, vector, query, mode=mode, width=width, matching=matching))
    if len(found) == 1:
        return found[0]
    fused = fuse(found, width)
    similarities, _ = similarities_of(view, vectors[0], fused.numbers)
    return replace(fused, similarities=similarities)


def fuse(found: Sequence[Proposal], k: int) -> Proposal:
    """Return the best `k` of several lists, the main query's first; the similarities are still to be filled in. Pure.

    Equal scores are in order of chunk number.
    """
    numbers = np.unique(np.concatenate([each.numbers for each in found]))
    places = np.zeros((len(numbers), len(found)), dtype=np.int64)
    scores = np.zeros(len(numbers))
    for column, each in enumerate(found):
        if not len(each.numbers):
            continue
        at = np.searchsorted(numbers, each.numbers)
        places[at, column] = np.arange(1, len(each.numbers) + 1)
        own = np.full(len(numbers), each.standings[-1])
        own[at] = each.standings
        scores += own
    scores /= len(found)
    main = found[0]
    lexical = np.full(len(numbers), np.nan, dtype=np.float32)
    lexical[np.searchsorted(numbers, main.numbers)] = main.lexical_scores
    order = np.lexsort((numbers, -scores))[:k]
    durations = [each.lexical_ms for each in found if each.lexical_ms is not None]
    return Proposal(
        numbers=numbers[order],
        similarities=np.full(len(order), np.nan, dtype=np.float32),
        lexical_scores=lexical[order],
        standings=scores[order],
        scores=scores[order],
        lexical_ms=sum(durations) if durations else None,
        filtered=main.filtered,
        places=places[order],
    )
