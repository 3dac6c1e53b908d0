"""Highlights of an answer: which passages are judged sentence by sentence, and why others are not."""

from __future__ import annotations

import time
from collections.abc import Sequence

from winnow.api.search.records import REASONS, Degraded, Highlighted, LeftOutReason
from winnow.rerank.highlight import DEFAULT_WISH, Highlights, HighlightWish, highlight
from winnow.rerank.reranker import Reranker
from winnow.retrieval import errors
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.records import Chunk
from winnow.retrieval.tracing import stage


async def find_highlights(
    reranker: Reranker | errors.RerankUnavailable,
    query: str,
    chunks: Sequence[Chunk],
    *,
    wish: HighlightWish = DEFAULT_WISH,
    instruction: str,
    tenant: str,
    deadline: Deadline,
    degraded: Degraded | None = None,
) -> Highlighted:
    """Judge the sentences of what is shown. A reranker that has just failed (`degraded`) is not asked again."""
    started = time.perf_counter()
    if degraded is not None or isinstance(reranker, errors.RerankUnavailable):
        reason = LeftOutReason.UNAVAILABLE if degraded is None else LeftOutReason(degraded.reason.value)
        found = Highlights(spans={}, left_out=len(chunks))
        return Highlighted(found=found, reason=reason if chunks else None, ms=0.0)
    with stage("highlight"):
        found = await highlight(
            reranker, query, chunks, wish=wish, instruction=instruction, tenant=tenant, deadline=deadline
        )
    return Highlighted(found=found, reason=_reason_of(found), ms=(time.perf_counter() - started) * 1000.0)


def _reason_of(found: Highlights) -> LeftOutReason | None:
    if found.failure is not None:
        return LeftOutReason(REASONS[type(found.failure)].value)
    return LeftOutReason.TOKEN_LIMIT if found.left_out else None
