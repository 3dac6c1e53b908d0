"""`/v1/usage` and `/v1/limits`: what a tenant has used, and what it may use."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from winnow.api.http.auth import AuthorizedRoute, Caller, MeteredRoute, Tenant, parts_of
from winnow.api.http.routes.access import TenantInPath
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.schemas.quotas import (
    LimitsBody,
    LimitsResponse,
    UsageFormat,
    UsageResponse,
    limits_response,
    usage_csv,
    usage_response,
)
from winnow.retrieval.catalog.quotas import TenantLimits
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.tenancy import TenantName

usage_router = APIRouter(responses=PROBLEMS, route_class=MeteredRoute)
limits_router = APIRouter(responses=PROBLEMS, tags=["limits"], route_class=AuthorizedRoute)


@usage_router.get("/v1/usage", response_model=UsageResponse, tags=["usage"], summary="Read what was used")
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
    return JsonResponse(usage_response(found))


@limits_router.get("/v1/limits", response_model=LimitsResponse, summary="Read the limits of the tenant that asks")
async def get_own_limits(tenant: Tenant, request: Request) -> Response:
    """So that a client can keep to them. Asking is not counted."""
    return JsonResponse(await asyncio.to_thread(_said, request, tenant))


@limits_router.get("/v1/tenants/{name}/limits", response_model=LimitsResponse, summary="Read the limits of a tenant")
async def get_limits(name: TenantInPath, request: Request) -> Response:
    """Those of its own, and those that hold."""
    disk = parts_of(request).disk
    return JsonResponse(await asyncio.to_thread(lambda: _said(request, disk.tenant_named(name))))


@limits_router.put("/v1/tenants/{name}/limits", response_model=LimitsResponse, summary="Set the limits of a tenant")
async def set_limits(name: TenantInPath, body: LimitsBody, caller: Caller, request: Request) -> Response:
    """All of them: what is left out is as the deployment has it. Services follow within two seconds."""
    disk, limits = parts_of(request).disk, body.limits()

    def changed() -> dict[str, object]:
        tenant = disk.tenant_named(name)
        disk.limits.set_limits(tenant, limits, by=caller.actor)
        return _said(request, tenant)

    return JsonResponse(await asyncio.to_thread(changed))


def _said(request: Request, tenant: TenantName) -> dict[str, object]:
    """From the catalog, not from what this process remembers of it. Blocks."""
    parts = parts_of(request)
    own = parts.disk.limits.limits().get(tenant, TenantLimits())
    return limits_response(tenant, own, defaults=parts.settings.limits)
