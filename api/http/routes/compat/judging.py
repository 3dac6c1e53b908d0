"""Reranks a caller's own texts, for the routes of all dialects."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastapi import Request

from winnow.api.http.auth import bill_of, parts_of
from winnow.api.http.disconnect import while_connected
from winnow.api.http.routes.search import telemetry_of
from winnow.api.library.instructions import AppliedInstruction
from winnow.api.schemas.compat.judged_by import Judge
from winnow.api.search.records import Highlighted
from winnow.api.tenancy.access import Principal
from winnow.rerank.highlight import HighlightWish
from winnow.rerank.near_duplicates import Diversified, diversify
from winnow.rerank.reranker import Ranked, Ranking
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import InstructionNotFound, InvalidRequest
from winnow.retrieval.records import AS_RANKED, Diversity, FieldLines


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a caller asks for."""

    query: str
    texts: Sequence[str]
    judge: Judge
    wanted: int  # number of results
    fields: Sequence[FieldLines] | None = None  # read before each text
    diversity: Diversity = field(default=AS_RANKED)
    highlight: HighlightWish | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """All texts in order, and what of them is shown."""

    ranking: Ranking
    shown: Sequence[Ranked]
    instruction: AppliedInstruction | None  # None: the model card's
    diversified: Diversified | None = None
    highlighted: Highlighted | None = None


async def judge_texts(request: Request, caller: Principal, wish: Wish, deadline: Deadline) -> Judged:
    """Rerank texts, charge the caller, and count it.

    Raises `RerankError`, `QuotaExceeded`, and `InvalidRequest` for an instruction that the caller does not have.
    """
    parts, tenant = parts_of(request), caller.tenant
    applied = await asyncio.to_thread(_applied, request, caller, wish.judge)
    text = None if applied is None else applied.text
    await parts.quotas.require_tokens(tenant)
    started = time.perf_counter()
    ranking = await while_connected(
        request,
        parts.search.rank_texts(
            wish.query,
            wish.texts,
            model=wish.judge.model,
            instruction=text,
            tenant=tenant,
            deadline=deadline,
            top_k=None if wish.diversity.is_on else wish.wanted,
            fields=wish.fields,
        ),
    )
    bill_of(request).add(ranking)
    diversified = await asyncio.to_thread(diversify, ranking.ranked, wish.diversity) if wish.diversity.is_on else None
    shown = (ranking.ranked if diversified is None else diversified.kept)[: wish.wanted]
    highlighted = None
    if wish.highlight is not None:
        found = parts.search.highlight_texts(
            wish.query,
            [each.candidate.chunk for each in shown],
            wish=wish.highlight,
            model=wish.judge.model,
            instruction=text,
            tenant=tenant,
            deadline=deadline,
        )
        highlighted = await while_connected(request, found)
        bill_of(request).add(highlighted)
    telemetry_of(request).reranked(seconds=time.perf_counter() - started)
    return Judged(ranking=ranking, shown=shown, instruction=applied, diversified=diversified, highlighted=highlighted)


def _applied(request: Request, caller: Principal, judge: Judge) -> AppliedInstruction | None:
    """Blocks."""
    instructions = parts_of(request).disk.catalog.instructions
    if judge.instruction is None:
        return instructions.of_key(caller.tenant, caller.defaults.instruction, seen=None)
    try:
        return instructions.of_texts(caller.tenant, judge.instruction)
    except InstructionNotFound as unknown:  # a part of the body, not the resource that the path names
        raise InvalidRequest(f"unknown instruction: {unknown.detail}") from unknown
