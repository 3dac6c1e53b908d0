"""POST /retrieval, as Dify's external knowledge and RAGFlow have it: parse, call, render."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Request
from starlette.responses import Response

from winnow.api.http.auth import Caller, MeteredRoute
from winnow.api.http.routes.compat.searching import Hit, SearchWish, search_as
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.schemas.compat.dify import Record, RetrievalBody, RetrievalResponse, indexed_and_rest
from winnow.api.schemas.compat.judged_by import cut_query

router = APIRouter(responses=PROBLEMS, route_class=MeteredRoute, tags=["search"])


@router.post("/retrieval", response_model=RetrievalResponse, summary="Search a collection as Dify's external knowledge")
async def retrieve(body: RetrievalBody, caller: Caller, request: Request) -> Response:
    """Search a collection. `knowledge_id` names it.

    Conditions that the index cannot compare (contains, start with, before ...) are applied to the first 200 results.
    """
    where, rest = indexed_and_rest(body.metadata_condition)
    query, _ = cut_query(body.query)
    wish = SearchWish(
        collection=body.knowledge_id,
        query=query,
        top_k=body.top_k,
        where=where,
        instruction=body.wanted_instruction,
        threshold=body.retrieval_setting.score_threshold or None,
    )
    found = await search_as(request, caller, replace(wish, is_wide=rest is not None))
    hits = [each for each in found.hits if rest is None or rest(each.ranked.candidate.chunk.metadata)]
    answer: RetrievalResponse = {
        "records": [_record(each) for each in hits[: body.top_k]],
        "threshold_applied": found.threshold_applied,
        "reason": found.reason,
    }
    said = JsonResponse(answer)
    said.background = found.afterwards
    return said


def _record(hit: Hit) -> Record:
    chunk = hit.ranked.candidate.chunk
    given = {"document_id": chunk.document_id, "url": chunk.url, "relevance": hit.ranked.relevance}
    return {
        "content": chunk.text,
        "score": hit.display_score,
        "title": chunk.title or chunk.document_id,
        "metadata": {**chunk.metadata, **{name: value for name, value in given.items() if value is not None}},
    }
