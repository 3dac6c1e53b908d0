"""Judgements to a ranking: which quantity orders it, and who comes first where it ties. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from rerank.judgement import relevance_of
from rerank.reranker import Ranked, RankedBy, Ranking
from retrieval.errors import RerankUnavailable
from retrieval.model_folder import Blend
from retrieval.records import Candidate

__all__ = ["Blend", "blended", "ranking_of", "ranking_of_waves"]


def ranking_of(
    candidates: Sequence[Candidate],
    logits: Sequence[float],
    *,
    judged_by: str,
    truncated: Sequence[bool] | None = None,
    tokens: int = 0,
    remembered: int = 0,
    blend: Blend | None = None,
) -> Ranking:
    """Best first; equal scores stay in recall's order.

    `logits` are the judgements, one for each candidate. A blend is used only where every candidate has a similarity:
    two kinds of score in one order would compare nothing.
    """
    cut = truncated or [False] * len(candidates)
    scores = _scores(candidates, logits, blend)
    ranked_by = RankedBy.RELEVANCE if scores is None else RankedBy.BLEND
    relevances = [relevance_of(logit) for logit in logits]
    rows = list(zip(candidates, relevances, scores or relevances, cut, strict=True))
    rows.sort(key=lambda row: (-row[2], row[0].recall_rank))
    ranked = tuple(
        Ranked(candidate=candidate, rank=rank, score=score, relevance=relevance, truncated=was_cut)
        for rank, (candidate, relevance, score, was_cut) in enumerate(rows, start=1)
    )
    return Ranking(ranked=ranked, judged_by=judged_by, ranked_by=ranked_by, tokens=tokens, remembered=remembered)


def blended(blend: Blend, logit: float, similarity: float) -> float:
    """The declared score, in [0, 1]."""
    return relevance_of(blend.relevance_weight * logit + blend.similarity_weight * similarity + blend.bias)


def _scores(candidates: Sequence[Candidate], logits: Sequence[float], blend: Blend | None) -> list[float] | None:
    if blend is None or any(candidate.similarity is None for candidate in candidates):
        return None
    return [
        blended(blend, logit, candidate.similarity or 0.0) for candidate, logit in zip(candidates, logits, strict=True)
    ]


def ranking_of_waves(waves: Sequence[Ranking], unjudged: Sequence[Candidate] = ()) -> Ranking:
    """One ranking of several parts of one query's candidates, in the order that judging them at once would give.

    `unjudged` come last, in recall's order, with no relevance and no score. Raises `RerankUnavailable` where the parts
    are ordered by different quantities: such scores compare nothing.
    """
    first = waves[0]
    if any((wave.judged_by, wave.ranked_by) != (first.judged_by, first.ranked_by) for wave in waves):
        kinds = dict.fromkeys(f"{wave.ranked_by} of {wave.judged_by}" for wave in waves)
        raise RerankUnavailable(f"the parts of one ranking are ordered by different quantities: {', '.join(kinds)}")
    judged = sorted(
        (each for wave in waves for each in wave.ranked),
        key=lambda each: (-math.inf if each.score is None else each.score, -each.candidate.recall_rank),
        reverse=True,
    )
    behind = sorted(unjudged, key=lambda candidate: candidate.recall_rank)
    ranked = [
        *judged,
        *(Ranked(candidate=candidate, rank=0, score=None, relevance=None) for candidate in behind),
    ]
    return Ranking(
        ranked=tuple(replace(each, rank=rank) for rank, each in enumerate(ranked, start=1)),
        judged_by=first.judged_by,
        ranked_by=first.ranked_by,
        tokens=sum(wave.tokens for wave in waves),
        remembered=sum(wave.remembered for wave in waves),
    )
