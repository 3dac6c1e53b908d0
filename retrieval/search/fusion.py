"""Fuses the results of a dense and a lexical search of one collection. Pure.

A cosine and a BM25 score share neither unit nor range, and BM25's range differs per query. So each is measured within
its own search: by how many standard deviations it exceeds the mean of the hits. The two numbers are added. On four
judged collections this ranked better than reciprocal ranks, and found more than scaling both to [0, 1]
(bench/RESULTS.md). It needs lists long enough to tell the usual from the good, longer than the list of candidates.

The lexical score is multiplied by `WORDS_WEIGHT`. It was chosen on collections that the bundled embedder was not
trained on (training/order.py, bench/RESULTS.md): on texts that it knows, an embedder needs lexical search less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from winnow.retrieval.index.vector_index import Hits
from winnow.retrieval.records import ChunkNumbers, Vectors
from winnow.retrieval.store.contract import LexicalHits

WORDS_WEIGHT: Final = 1.0  # of the lexical search; the dense search counts once


@dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """Chunks found by either search, best first; equal scores in order of chunk number."""

    numbers: ChunkNumbers  # no repeats
    similarities: Vectors  # (same,) cosine of every chunk
    lexical_scores: Vectors  # (same,) BM25; NaN if the lexical search did not find the chunk
    scores: NDArray[np.float64]  # (same,) standard deviations; not comparable between queries


def fused(
    near: Hits,
    worded: LexicalHits,
    worded_similarities: Vectors,
    *,
    asked: int,
    k: int,
    words_weight: float = WORDS_WEIGHT,
) -> Fused:
    """Return the best `k` of both searches.

    `worded_similarities` are the cosines of the lexical hits; `asked` is how many of those were requested. If fewer
    came, all other chunks contain none of the words and score 0, and enough of them are counted to make both lists
    equally long: chunks with a rare word then stand out. If all came, a missing chunk scored at most as much as the
    last hit. A chunk as good as another in both searches never ranks behind it.
    """
    numbers, first = np.unique(np.concatenate([near.numbers, worded.numbers]), return_index=True)
    similarities = np.concatenate([near.similarities, worded_similarities])[first]
    lexical = np.full(len(numbers), np.nan, dtype=np.float32)
    lexical[np.searchsorted(numbers, worded.numbers)] = worded.scores
    is_full = len(worded.scores) >= asked
    least = float(worded.scores.min()) if is_full else 0.0
    without = np.zeros(0 if is_full else max(0, len(near.numbers) - len(worded.numbers)), dtype=np.float32)
    scores = deviations(similarities, near.similarities)
    scores += words_weight * deviations(
        np.where(np.isnan(lexical), np.float32(least), lexical), np.concatenate([worded.scores, without])
    )
    order = np.lexsort((numbers, -scores))[:k]
    return Fused(
        numbers=numbers[order],
        similarities=similarities[order],
        lexical_scores=lexical[order],
        scores=scores[order],
    )


def deviations(values: Vectors, among: Vectors) -> NDArray[np.float64]:
    """Return by how many standard deviations each value exceeds the mean of `among`, or the distance if all are equal.

    `among` is sorted first: the order of hits must not change the last bit of a sum.
    """
    if not len(among):
        return np.zeros(len(values))
    usual = among.astype(np.float64)
    usual.sort()
    mean = float(np.add.reduce(usual)) / len(usual)
    spread = 1.0
    if usual[0] < usual[-1]:  # as `std` does to the bit, in a third of its time for a list this short
        rest = usual - mean
        spread = math.sqrt(float(np.add.reduce(rest * rest)) / len(usual))
    return (values.astype(np.float64) - mean) / spread
