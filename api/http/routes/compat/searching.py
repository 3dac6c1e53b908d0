"""Searches a collection for the routes of all dialects: thresholds, filters and scores as their clients expect them.

Rule 1: a threshold applies to relevance and to nothing else; where nothing was reranked, it is not applied, and the
answer says so.
Rule 2: a display score is in [0, 1] and falls from result to result. It is no relevance, and never called one.
Rule 3: a filter on an attribute that the collection lacks matches nothing, as in other services' vector stores.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from fastapi import Request
from starlette.background import BackgroundTask

from winnow.api.http.auth import bill_of, parts_of
from winnow.api.http.routes.search import answer_question
from winnow.api.library.instructions import NamedInstruction
from winnow.api.search.first_stage import find_collection
from winnow.api.search.records import Answer, Question
from winnow.api.tenancy.access import Principal
from winnow.rerank.reranker import Ranked, RankedBy
from winnow.retrieval.catalog.quotas import Usage
from winnow.retrieval.filters.grammar import Combination, Comparison, Filter, Joint, Op
from winnow.retrieval.limits import TOP_K_MAX

_NEGATIONS = frozenset({Op.NE, Op.NIN})


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchWish:
    """What a caller asks for."""

    collection: str
    query: str
    further: tuple[str, ...] = ()  # queries whose candidates are fused with those of `query`
    top_k: int
    where: Filter | None = None
    instruction: str | NamedInstruction | None = None
    threshold: float | None = None  # least relevance, in [0, 1]
    is_wide: bool = False  # whether as many candidates as possible are recalled: the caller filters them further


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A result, and the number that clients show beside it."""

    ranked: Ranked
    display_score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The results of a search."""

    hits: tuple[Hit, ...]
    threshold_applied: bool
    answer: Answer | None = None  # None: the filter can match nothing, so nothing was searched
    afterwards: BackgroundTask | None = None  # once the answer was sent
    reason: str | None = None  # why nothing was reranked, and so no threshold applied


async def search_as(request: Request, caller: Principal, wish: SearchWish) -> Found:
    """Answer a search as `POST /v1/search` does. Raises the same."""
    where = wish.where
    if where is not None:
        attributes = await asyncio.to_thread(_attributes, request, caller, wish.collection)
        known = without_unknown(where, attributes)
        if known is False:
            parts = parts_of(request)
            bill_of(request).add(Usage(tenant=caller.tenant, day=parts.usage.today()))
            return Found(hits=(), threshold_applied=False, reason="filter_matches_nothing")
        where = None if known is True else known
    question = Question(
        tenant=caller.tenant,
        collection=wish.collection,
        query=wish.query,
        further=wish.further,
        top_k=TOP_K_MAX if wish.is_wide else wish.top_k,
        where=where,
        rerank_always=wish.threshold is not None,
        instruction=wish.instruction,
    )
    answer, afterwards = await answer_question(request, question, timeout_ms=None)
    ranked = [result.best for result in answer.results]
    is_judged = answer.ranking.ranked_by is not RankedBy.RECALL_ORDER
    is_applied = wish.threshold is not None and is_judged
    if is_applied:
        ranked = [each for each in ranked if each.relevance is not None and each.relevance >= (wish.threshold or 0.0)]
    return Found(
        hits=tuple(hits_of(ranked)),
        threshold_applied=is_applied,
        answer=answer,
        afterwards=afterwards,
        reason=None if is_judged else _reason(answer),
    )


def hits_of(ranked: Sequence[Ranked]) -> Iterator[Hit]:
    """Yield the results with their display scores."""
    least = 1.0
    for each in ranked:
        least = min(least, _display_score(each))
        yield Hit(ranked=each, display_score=least)


def without_unknown(where: Filter, attributes: Collection[str]) -> Filter | bool:
    """Leave out comparisons with attributes that no document has. True or False: all or no documents match."""
    if isinstance(where, Comparison):
        if where.key in attributes:
            return where
        is_null = where.op in {Op.EQ, Op.NE} and not where.values
        return (where.op in _NEGATIONS) is not is_null
    kept: list[Filter] = []
    decides = where.joint is Joint.OR  # what one part that is so makes of the whole
    for each in where.filters:
        part = without_unknown(each, attributes)
        if part is decides:
            return decides
        if not isinstance(part, bool):
            kept.append(part)
    if not kept:
        return not decides
    return kept[0] if len(kept) == 1 else Combination(joint=where.joint, filters=tuple(kept))


def _display_score(ranked: Ranked) -> float:
    """The score that ordered it if that is in [0, 1]; else recall's, in standard deviations, through a sigmoid."""
    candidate = ranked.candidate
    if ranked.relevance is not None:
        return min(1.0, max(0.0, ranked.score or 0.0))
    standing = candidate.standing if candidate.standing is not None else 0.0
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, standing))))


def _reason(answer: Answer) -> str:
    if answer.degraded is not None:
        return str(answer.degraded.reason)
    return "not_reranked" if answer.rerank_skipped is None else str(answer.rerank_skipped)


def _attributes(request: Request, caller: Principal, named: str) -> Collection[str]:
    """Blocks."""
    parts = parts_of(request)
    collection = find_collection(parts.disk.catalog.collections, named, asker=caller.tenant)
    return parts.collections.get(collection.tenant, collection.name).store.snapshot().attributes().keys()
