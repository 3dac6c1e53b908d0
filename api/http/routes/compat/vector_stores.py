"""GET /v1/vector_stores and searches of them, as OpenAI has them: parse, call, render."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from winnow.api.http.auth import Caller, MeteredRoute, parts_of
from winnow.api.http.routes.compat.searching import Found, Hit, SearchWish, search_as
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.schemas.compat.judged_by import cut_query
from winnow.api.schemas.compat.vector_stores import (
    RESULTS_DEFAULT,
    VectorStoreHit,
    VectorStorePage,
    VectorStoreResponse,
    VectorStoreSearchBody,
    VectorStoresResponse,
    attributes_of,
    vector_store_response,
    vector_stores_response,
)
from winnow.retrieval.limits import COLLECTION_NAME_PATTERN

router = APIRouter(responses=PROBLEMS, route_class=MeteredRoute, tags=["vector stores"])

Name = Annotated[str, Path(pattern=COLLECTION_NAME_PATTERN)]


@router.get("/v1/vector_stores", response_model=VectorStoresResponse, summary="List collections as vector stores")
async def list_vector_stores(
    caller: Caller,
    request: Request,
    *,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(description="Only those behind this id.")] = None,
) -> Response:
    """List collections by name. `order` is ignored."""
    described = await asyncio.to_thread(parts_of(request).disk.described, caller.tenant)
    later = [each for each in described if after is None or each.collection.name > after]
    page = [
        vector_store_response(
            each.collection.name,
            created_at=each.collection.created_at,
            documents=each.documents or 0,
            is_usable=each.problem is None,
        )
        for each in later[:limit]
    ]
    return JsonResponse(vector_stores_response(page, has_more=len(later) > limit))


@router.get(
    "/v1/vector_stores/{name}", response_model=VectorStoreResponse, summary="Describe a collection as a vector store"
)
async def read_vector_store(name: Name, caller: Caller, request: Request) -> Response:
    def described() -> VectorStoreResponse:
        disk = parts_of(request).disk
        found = disk.describe(disk.catalog.collections.get(caller.tenant, name))
        return vector_store_response(
            name,
            created_at=found.collection.created_at,
            documents=found.documents or 0,
            is_usable=found.problem is None,
        )

    return JsonResponse(await asyncio.to_thread(described))


@router.post(
    "/v1/vector_stores/{name}/search", response_model=VectorStorePage, summary="Search a collection as a vector store"
)
async def search_vector_store(name: Name, body: VectorStoreSearchBody, caller: Caller, request: Request) -> Response:
    """Search a collection in OpenAI's shape. `instruction` is winnow's own."""
    query, _ = cut_query("\n".join(body.queries))
    wish = SearchWish(
        collection=name,
        query=query,
        top_k=body.max_num_results or RESULTS_DEFAULT,
        where=body.filters,
        instruction=body.wanted_instruction,
        threshold=body.ranking_options.score_threshold if body.ranking_options else None,
    )
    found = await search_as(request, caller, wish)
    said = JsonResponse(_page(body.queries, found))
    said.background = found.afterwards
    return said


def _page(queries: list[str], found: Found) -> VectorStorePage:
    ranking = None if found.answer is None else found.answer.ranking
    return {
        "object": "vector_store.search_results.page",
        "search_query": queries,
        "data": [_hit(each) for each in found.hits],
        "has_more": False,
        "next_page": None,
        "winnow": {
            "threshold_applied": found.threshold_applied,
            "reason": found.reason,
            "ranked_by": None if ranking is None else str(ranking.ranked_by),
            "judged_by": None if ranking is None else ranking.judged_by,
            "relevance": [each.ranked.relevance for each in found.hits],
        },
    }


def _hit(hit: Hit) -> VectorStoreHit:
    chunk = hit.ranked.candidate.chunk
    return {
        "file_id": chunk.document_id,
        "filename": chunk.title or chunk.document_id,
        "score": hit.display_score,
        "attributes": attributes_of(chunk.metadata),
        "content": [{"type": "text", "text": chunk.text}],
    }
