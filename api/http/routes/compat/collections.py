"""Searches with the collection in the path, for clients that can only set a URL: parse, call, render."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from winnow.api.http.auth import Caller, MeteredRoute
from winnow.api.http.routes.compat.searching import SearchWish, search_as
from winnow.api.http.routes.search import PROBLEMS, JsonResponse, answer_question
from winnow.api.schemas.compat.judged_by import cut_query
from winnow.api.schemas.compat.web_search import WebResult, WebSearchBody, web_result
from winnow.api.schemas.search_request import CollectionSearchBody
from winnow.api.schemas.search_response import SearchResponse, search_response
from winnow.retrieval.limits import COLLECTION_NAME_PATTERN

router = APIRouter(responses=PROBLEMS, route_class=MeteredRoute, tags=["search"])

Name = Annotated[str, Path(pattern=COLLECTION_NAME_PATTERN)]


@router.post("/v1/collections/{name}/search", response_model=SearchResponse, summary="Search this collection")
async def search_collection(name: Name, body: CollectionSearchBody, caller: Caller, request: Request) -> Response:
    """The same as `POST /v1/search`, with the collection in the path."""
    question = body.question_in(name, caller.tenant)
    answered = await answer_question(request, question, timeout_ms=body.timeout_ms)
    said = JsonResponse(search_response(answered.answer, explain=body.explain, grouped=body.group_by_document))
    said.background = answered.afterwards
    return said


@router.post(
    "/v1/collections/{name}/web_search",
    response_model=list[WebResult],
    summary="Search this collection in the shape of Open WebUI's external web search",
)
async def search_as_web(name: Name, body: WebSearchBody, caller: Caller, request: Request) -> Response:
    """Answer a bare list of links. A document without a URL has `urn:winnow:NAME:ID`."""
    query, _ = cut_query(body.query)
    found = await search_as(request, caller, SearchWish(collection=name, query=query, top_k=body.wanted))
    said = JsonResponse([web_result(name, each.ranked.candidate.chunk) for each in found.hits])
    said.background = found.afterwards
    return said
