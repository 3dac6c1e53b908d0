"""GET /v1/usage: what the tenant that asks has used."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from winnow.api.http.auth import MeteredRoute, Tenant, parts_of
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.schemas.usage_said import usage_csv, usage_said
from winnow.retrieval.errors import InvalidRequest

router = APIRouter(responses=PROBLEMS, route_class=MeteredRoute)


class UsageFormat(StrEnum):
    """How usage is written."""

    JSON = "json"
    CSV = "csv"


class UsageOfDay(BaseModel):
    """What one tenant used on one day."""

    day: date
    tenant: str
    requests: int
    searches: int
    rerank_documents: int
    rerank_remembered: int
    rerank_tokens: int
    embedded_tokens: int
    documents_written: int
    bytes_written: int


class UsageSaid(BaseModel):
    """What was used, by day."""

    usage: list[UsageOfDay]


@router.get("/v1/usage", response_model=UsageSaid, tags=["usage"], summary="Read what was used")
async def get_usage(
    tenant: Tenant,
    request: Request,
    *,
    since: Annotated[date | None, Query(alias="from", description="First day, in UTC; today unless given.")] = None,
    until: Annotated[date | None, Query(alias="to", description="Last day; today unless given.")] = None,
    kind: Annotated[UsageFormat, Query(alias="format", description="json or csv.")] = UsageFormat.JSON,
) -> Response:
    """Of the tenant that asks, by day, this very moment included as far as this process has answered it."""
    meter = parts_of(request).usage
    today = datetime.now(UTC).date()
    since, until = since or today, until or today
    if until < since:
        raise InvalidRequest(f"{until} is before {since}")
    await meter.flush()
    found = await asyncio.to_thread(meter.book.usage, since=since, until=until, tenant=tenant)
    if kind is UsageFormat.CSV:
        return Response(usage_csv(found), media_type="text/csv")
    return JsonResponse(usage_said(found))
