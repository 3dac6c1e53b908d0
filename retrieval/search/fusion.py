"""In which order do two searches of one collection stand, if one went by meaning and one by words? Pure.

A cosine and a BM25 score have nothing in common: not the unit, not the range, not even from one query to the next. So
each is measured against the search that it came from: by how many standard deviations is it above the mean of what
that search found? The two figures are added. On four judged collections this ordered better than reciprocal ranks, and
found more than scaling both to [0, 1] (bench/RESULTS.md). It needs lists that are long enough to tell the usual from
the good, longer than what goes on to be judged.

The words count `WORDS_WEIGHT` times. The weight was chosen on collections of texts that the bundled embedder was not
trained on (training/order.py, bench/RESULTS.md): on texts that it knows, an embedder needs the words less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from winnow.retrieval.index.vector_index import Hits
from winnow.retrieval.records import ChunkNumbers, Vectors
from winnow.retrieval.store.contract import LexicalHits

WORDS_WEIGHT: Final = 1.0  # of the search by words; the search by meaning counts once


@dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """Chunks that either search found, best first; equal scores in order of chunk number."""

    numbers: ChunkNumbers  # no repeats
    similarities: Vectors  # (same,) cosine, of every one
    lexical_scores: Vectors  # (same,) BM25; NaN where the search by words did not find the chunk
    scores: NDArray[np.float64]  # (same,) standard deviations; they compare nothing beyond this query


def fused(
    near: Hits,
    worded: LexicalHits,
    worded_similarities: Vectors,
    *,
    asked: int,
    k: int,
    words_weight: float = WORDS_WEIGHT,
) -> Fused:
    """The best `k` of both searches.

    `worded_similarities` are the cosines of the chunks that were found by their words, `asked` is how many of those
    were asked for. If fewer came, the others hold none of the words and score 0, and so many of them are counted that
    both lists are equally long: chunks that hold a rare word stand out then. If all came, a chunk that did not scored
    at most what the last one did. One that is as good as another in both is never behind it.
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
    """By how many standard deviations each value is above the mean of `among`, which is sorted first: the order in
    which hits come must not change the last bit of a sum. Where all are equal, the distance itself.
    """
    if not len(among):
        return np.zeros(len(values))
    usual = np.sort(among.astype(np.float64))
    spread = float(usual.std()) if usual[0] < usual[-1] else 1.0
    return (values.astype(np.float64) - float(usual.mean())) / spread
