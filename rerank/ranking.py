"""Orders candidates by their relevance logits and breaks ties. Pure.

This is the only place that computes an order. A reranker that declares no order is ordered by relevance alone. One that
does (`order` in its winnow.json) mixes recall's score with its logit, with one pair of weights for the default
instruction and another for all others:

    score = sigmoid(recall_weight * standing + relevance_weight * logit + bias)

`standing` is the recall score in standard deviations (retrieval/search/fusion.py). Where relevance_weight is 0 the
reranker cannot change the order, and search does not run it (api/search/two_stage.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.relevance import relevance_of
from winnow.rerank.reranker import Ranked, RankedBy, Ranking
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.model.folder import Mixture, Order
from winnow.retrieval.records import Candidate

__all__ = ["Mixture", "Order", "changes_order", "make_ranking", "merge_waves", "mixed", "mixture_for"]


def mixture_for(order: Order | None, instruction: str) -> Mixture | None:
    """Return the weights for this instruction; None means relevance alone."""
    if order is None:
        return None
    return order.plain if instruction == DEFAULT_INSTRUCTION else order.instructed


def changes_order(order: Order | None, instruction: str) -> bool:
    """Whether relevance has any weight under this instruction."""
    mixture = mixture_for(order, instruction)
    return mixture is None or mixture.relevance_weight > 0


def mixed(mixture: Mixture, logit: float, standing: float) -> float:
    """Compute the declared score, in [0, 1]."""
    return relevance_of(mixture.recall_weight * standing + mixture.relevance_weight * logit + mixture.bias)


def make_ranking(
    candidates: Sequence[Candidate],
    logits: Sequence[float],
    *,
    judged_by: str,
    truncated: Sequence[bool] | None = None,
    fields: Sequence[str] | None = None,
    tokens: int = 0,
    tokens_read: int = 0,
    remembered: int = 0,
    mixture: Mixture | None = None,
    instruction_applied: bool = True,
) -> Ranking:
    """Rank best first; equal scores stay in recall's order.

    `logits` has one logit per candidate, `fields` what the reranker read before its text. The mixture applies only if
    recall ran for every candidate: two kinds of score in one order would not be comparable.
    """
    cut = truncated or [False] * len(candidates)
    scores = _scores(candidates, logits, mixture)
    ranked_by = RankedBy.RELEVANCE if scores is None else RankedBy.BLEND
    relevances = [relevance_of(logit) for logit in logits]
    heads = fields or [""] * len(candidates)
    rows = list(zip(candidates, relevances, scores or relevances, cut, heads, strict=True))
    rows.sort(key=lambda row: (-row[2], row[0].recall_rank))
    ranked = tuple(
        Ranked(candidate=candidate, rank=rank, score=score, relevance=relevance, truncated=was_cut, fields=head)
        for rank, (candidate, relevance, score, was_cut, head) in enumerate(rows, start=1)
    )
    return Ranking(
        ranked=ranked,
        judged_by=judged_by,
        ranked_by=ranked_by,
        tokens=tokens,
        tokens_read=tokens_read,
        remembered=remembered,
        instruction_applied=instruction_applied,
    )


def _scores(candidates: Sequence[Candidate], logits: Sequence[float], mixture: Mixture | None) -> list[float] | None:
    standings = [candidate.standing for candidate in candidates if candidate.standing is not None]
    if mixture is None or len(standings) < len(candidates):
        return None
    return [mixed(mixture, logit, standing) for standing, logit in zip(standings, logits, strict=True)]


def merge_waves(waves: Sequence[Ranking], unjudged: Sequence[Candidate] = ()) -> Ranking:
    """Merge the rankings of parts of one query's candidates into the order that ranking them at once would give.

    `unjudged` come last, in recall's order, with no relevance and no score. Raises `RerankUnavailable` if the parts are
    ordered by different quantities, whose scores are not comparable.
    """
    first = waves[0]
    if any((wave.judged_by, wave.ranked_by) != (first.judged_by, first.ranked_by) for wave in waves):
        kinds = dict.fromkeys(f"{wave.ranked_by} of {wave.judged_by}" for wave in waves)
        raise RerankUnavailable(f"the parts of one ranking are ordered by different quantities: {', '.join(kinds)}")
    reranked = sorted(
        (each for wave in waves for each in wave.ranked),
        key=lambda each: (-math.inf if each.score is None else each.score, -each.candidate.recall_rank),
        reverse=True,
    )
    behind = sorted(unjudged, key=lambda candidate: candidate.recall_rank)
    ranked = [
        *reranked,
        *(Ranked(candidate=candidate, rank=0, score=None, relevance=None) for candidate in behind),
    ]
    return Ranking(
        ranked=tuple(replace(each, rank=rank) for rank, each in enumerate(ranked, start=1)),
        judged_by=first.judged_by,
        ranked_by=first.ranked_by,
        tokens=sum(wave.tokens for wave in waves),
        tokens_read=sum(wave.tokens_read for wave in waves),
        remembered=sum(wave.remembered for wave in waves),
        instruction_applied=first.instruction_applied,
    )
