"""POST /v1/feedback and /v1/judgments: parse, call, render."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from winnow.api.fields import SearchedName
from winnow.api.http.auth import Caller, MeteredRoute, Tenant, parts_of
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.schemas.judgments import (
    FeedbackBody,
    JudgmentResponse,
    JudgmentSettings,
    JudgmentSettingsBody,
    JudgmentsResponse,
    RemovedJudgments,
    judgment_response,
    judgments_response,
)
from winnow.retrieval.catalog.judgments import Chosen, JudgmentSource, Place
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.limits import JUDGE_CHARACTERS_MAX, JUDGMENTS_LISTED_MAX
from winnow.retrieval.tenancy import TenantName

router = APIRouter(responses=PROBLEMS, tags=["judgments"], route_class=MeteredRoute)

OfCollection = Annotated[SearchedName | None, Query(description="Only of this collection.")]
OfJudge = Annotated[str | None, Query(min_length=1, max_length=JUDGE_CHARACTERS_MAX, description="Only of this judge.")]
OfSource = Annotated[JudgmentSource | None, Query(description="Only of people, or only of models.")]


@router.post("/v1/feedback", response_model=JudgmentResponse, summary="Judge a result of a search")
async def give_feedback(body: FeedbackBody, caller: Caller, request: Request) -> Response:
    """Store what a person says about a result, or that it was opened.

    The process that answered the search accepts feedback for 24 hours. The same judge's judgment of the same query and
    document is replaced.
    """
    feedback = parts_of(request).feedback
    wish = body.wish(caller.actor)
    searched = feedback.searches.find(caller.tenant, wish.search_id)
    judgment = await asyncio.to_thread(feedback.store, caller.tenant, wish, searched)
    return JsonResponse(judgment_response(judgment))


@router.get("/v1/judgments", response_model=JudgmentsResponse, summary="List judgments")
async def list_judgments(
    tenant: Tenant,
    request: Request,
    *,
    collection: OfCollection = None,
    judge: OfJudge = None,
    source: OfSource = None,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="Only later ones: the last `number` seen.")] = 0,
    limit: Annotated[int, Query(ge=1, le=JUDGMENTS_LISTED_MAX)] = 100,
) -> Response:
    """List what people and models judged, in the order it was stored."""
    book = parts_of(request).disk.catalog.judgments
    chosen = _chosen(tenant, collection, judge, source)
    found = await asyncio.to_thread(partial(book.page, tenant, chosen, after=after, limit=limit))
    keeps = await asyncio.to_thread(book.keeps_queries, tenant)
    return JsonResponse(judgments_response(found, keeps_queries=keeps))


@router.delete("/v1/judgments", response_model=RemovedJudgments, summary="Delete judgments")
async def remove_judgments(
    caller: Caller,
    request: Request,
    *,
    collection: OfCollection = None,
    judge: OfJudge = None,
    source: OfSource = None,
) -> Response:
    """Delete the judgments of a collection, of a judge, of people or of models. One of the three is required."""
    chosen = _chosen(caller.tenant, collection, judge, source)
    if chosen == Chosen():
        raise InvalidRequest("name a collection, a judge or a source")
    book = parts_of(request).disk.catalog.judgments
    removed = await asyncio.to_thread(partial(book.remove, caller.tenant, chosen, by=caller.actor))
    return JsonResponse({"removed": removed})


@router.put(
    "/v1/judgments/settings", response_model=JudgmentSettings, summary="Keep the texts of judged queries or not"
)
async def set_judgments(body: JudgmentSettingsBody, caller: Caller, request: Request) -> Response:
    """Keep the texts of queries judged from now on; or keep only their SHA-256, and delete texts kept so far."""
    book = parts_of(request).disk.catalog.judgments
    await asyncio.to_thread(partial(book.keep_queries, caller.tenant, keep=body.keep_queries, by=caller.actor))
    return JsonResponse({"keep_queries": body.keep_queries})


def _chosen(tenant: TenantName, collection: str | None, judge: str | None, source: JudgmentSource | None) -> Chosen:
    place = None if collection is None else Place.named(collection, asker=tenant)
    return Chosen(place=place, judge=judge, source=source)
