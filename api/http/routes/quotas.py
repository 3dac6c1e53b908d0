"""`/v1/usage` and `/v1/limits`: what a tenant has used, and its limits."""

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


@usage_router.get(
    "/v1/usage",
    response_model=UsageResponse,
    tags=["usage"],
    summary="Read usage",
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def get_usage(
    tenant: Tenant,
    request: Request,
    *,
    since: Annotated[date | None, Query(alias="from", description="First day, in UTC. Default: today.")] = None,
    until: Annotated[date | None, Query(alias="to", description="Last day, in UTC. Default: today.")] = None,
    kind: Annotated[UsageFormat, Query(alias="format", description="json or csv.")] = UsageFormat.JSON,
) -> Response:
    """Return the tenant's usage by day, up to this moment for requests of this process."""
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


@limits_router.get("/v1/limits", response_model=LimitsResponse, summary="Read your tenant's limits")
async def get_own_limits(tenant: Tenant, request: Request) -> Response:
    """Return the limits, so that clients can respect them. This request is not counted."""
    return JsonResponse(await asyncio.to_thread(_limits, request, tenant))


@limits_router.get("/v1/tenants/{name}/limits", response_model=LimitsResponse, summary="Read a tenant's limits")
async def get_limits(name: TenantInPath, request: Request) -> Response:
    """Return the tenant's own limits, and the effective ones."""
    disk = parts_of(request).disk
    return JsonResponse(await asyncio.to_thread(lambda: _limits(request, disk.catalog.tenant_named(name))))


@limits_router.put("/v1/tenants/{name}/limits", response_model=LimitsResponse, summary="Set a tenant's limits")
async def set_limits(name: TenantInPath, body: LimitsBody, caller: Caller, request: Request) -> Response:
    """Set all limits; omitted ones return to the deployment's defaults. Takes effect within two seconds."""
    disk, limits = parts_of(request).disk, body.limits()

    def changed() -> LimitsResponse:
        tenant = disk.catalog.tenant_named(name)
        disk.catalog.limits.set_limits(tenant, limits, by=caller.actor)
        return _limits(request, tenant)

    return JsonResponse(await asyncio.to_thread(changed))


def _limits(request: Request, tenant: TenantName) -> LimitsResponse:
    """Read the limits from the catalog, not from this process's cache. Blocks."""
    parts = parts_of(request)
    own = parts.disk.catalog.limits.limits().get(tenant, TenantLimits())
    return limits_response(tenant, own, defaults=parts.settings.limits)
