"""Orders candidates by their relevance logits and breaks ties. Pure.

This is the only place that computes an order. A reranker that declares no order is ordered by relevance alone. One that
does (`order` in its winnow.json) mixes recall's score with its logit, with one pair of weights for the default
instruction and another for all others:

    score = sigmoid(recall_weight * standing + relevance_weight * logit + bias)

`standing` is the recall score in standard deviations (retrieval/search/fusion.py). Where relevance_weight is 0 the
reranker cannot change the order, and search does not run it (api/search/two_stage.py).

Copies of the query in a passage raise its recall score, not its relevance. So a mixture limits the score of a passage
that repeats the query (rerank/query_echo.py), in two ways:

1. Recall's part counts at most as much as that of the best recalled passage that is less relevant.
2. If it is less relevant than the most relevant passage, its score stays below that passage's.

Neither compares it with passages that repeat the query, too. A log that repeats a message keeps its place if the
reranker finds it most relevant. All other scores stay as they are, to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.query_echo import repeats_query
from winnow.rerank.relevance import logit_of, relevance_of
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
    query: str = "",
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
    recall ran for every candidate: two kinds of score in one order would not be comparable. Passages that repeat
    `query` are looked for only with a mixture; that reads the texts of a few candidates.
    """
    cut = truncated or [False] * len(candidates)
    scores = _scores(candidates, logits, mixture)
    ranked_by = RankedBy.RELEVANCE if scores is None else RankedBy.BLEND
    relevances = [relevance_of(logit) for logit in logits]
    heads = fields or [""] * len(candidates)
    rows = [
        Ranked(candidate=candidate, rank=0, score=score, relevance=relevance, truncated=was_cut, fields=head)
        for candidate, relevance, score, was_cut, head in zip(
            candidates, relevances, scores or relevances, cut, heads, strict=True
        )
    ]
    if scores is not None and mixture is not None and mixture.relevance_weight > 0:
        rows = limit_repeats(rows, mixture, query)
    return Ranking(
        ranked=_numbered(_best_first(rows)),
        judged_by=judged_by,
        ranked_by=ranked_by,
        tokens=tokens,
        tokens_read=tokens_read,
        remembered=remembered,
        mixture=None if scores is None else mixture,
        instruction_applied=instruction_applied,
    )


def limit_repeats(ranked: Sequence[Ranked], mixture: Mixture, query: str) -> list[Ranked]:
    """Limit the scores of passages that repeat the query; the order of the list stays.

    Every passage has a standing, a relevance, and the score of the whole mixture. Of equally relevant passages, the
    better recalled counts as more relevant. Only texts that may be above a limit are read: a few of 30.
    """

    @cache
    def repeats(place: int) -> bool:
        return repeats_query(query, ranked[place].candidate.chunk)

    limited = list(ranked)
    order = sorted(range(len(ranked)), key=lambda place: _by_relevance(ranked[place]))
    least = min(map(_standing, ranked), default=0.0)  # the limit where nothing is less relevant
    best = next((place for place in reversed(order) if not repeats(place)), None)
    limit, below = -math.inf, math.inf if best is None else _score(ranked[best])
    for place in order:
        each = ranked[place]
        if place == best:
            below = math.inf  # whatever comes now is more relevant
        if (_standing(each) <= limit and _score(each) < below) or not repeats(place):
            limit = max(limit, _standing(each))
            continue
        score = mixed(mixture, logit_of(each.relevance or 0.0), min(_standing(each), max(limit, least)))
        score = min(score, _score(each), math.nextafter(below, 0.0))
        if score < _score(each):
            limited[place] = replace(each, score=score, unlimited=each.score)
    return limited


def _score(ranked: Ranked) -> float:
    assert ranked.score is not None, "a mixture scores every passage. This is a bug."
    return ranked.score


def _by_relevance(ranked: Ranked) -> tuple[float, float, int]:
    """Sort key: least relevant first; of equal ones, the lower standing."""
    assert ranked.relevance is not None, "every passage was reranked. This is a bug."
    return ranked.relevance, _standing(ranked), -ranked.candidate.recall_rank


def _standing(ranked: Ranked) -> float:
    assert ranked.candidate.standing is not None, "a mixture needs recall. This is a bug."
    return ranked.candidate.standing


def _best_first(ranked: Iterable[Ranked]) -> list[Ranked]:
    return sorted(
        ranked, key=lambda each: (math.inf if each.score is None else -each.score, each.candidate.recall_rank)
    )


def _numbered(order: Iterable[Ranked]) -> tuple[Ranked, ...]:
    return tuple(replace(each, rank=rank) for rank, each in enumerate(order, start=1))


def _scores(candidates: Sequence[Candidate], logits: Sequence[float], mixture: Mixture | None) -> list[float] | None:
    standings = [candidate.standing for candidate in candidates if candidate.standing is not None]
    if mixture is None or len(standings) < len(candidates):
        return None
    return [mixed(mixture, logit, standing) for standing, logit in zip(standings, logits, strict=True)]


def merge_waves(waves: Sequence[Ranking], unjudged: Sequence[Candidate] = (), *, query: str) -> Ranking:
    """Merge the rankings of parts of one query's candidates into the order that ranking them at once would give.

    `unjudged` come last, in recall's order, with no relevance and no score. Raises `RerankUnavailable` if the parts are
    ordered by different quantities, whose scores are not comparable.
    """
    first = waves[0]
    if any((wave.judged_by, wave.ranked_by) != (first.judged_by, first.ranked_by) for wave in waves):
        kinds = dict.fromkeys(f"{wave.ranked_by} of {wave.judged_by}" for wave in waves)
        raise RerankUnavailable(f"the parts of one ranking are ordered by different quantities: {', '.join(kinds)}")
    reranked = [each for wave in waves for each in wave.ranked]
    if first.mixture is not None and first.mixture.relevance_weight > 0:  # the limit of a wave is not that of all
        whole = [
            each if each.unlimited is None else replace(each, score=each.unlimited, unlimited=None) for each in reranked
        ]
        reranked = limit_repeats(whole, first.mixture, query)
    behind = [
        Ranked(candidate=candidate, rank=0, score=None, relevance=None)
        for candidate in sorted(unjudged, key=lambda candidate: candidate.recall_rank)
    ]
    return Ranking(
        ranked=_numbered([*_best_first(reranked), *behind]),
        judged_by=first.judged_by,
        ranked_by=first.ranked_by,
        tokens=sum(wave.tokens for wave in waves),
        tokens_read=sum(wave.tokens_read for wave in waves),
        remembered=sum(wave.remembered for wave in waves),
        mixture=first.mixture,
        instruction_applied=first.instruction_applied,
    )
