"""Limits over HTTP: a tenant reads its own, an operator reads and sets everybody's."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from winnow.api.http.auth import Caller, GuardedRoute, Tenant, parts_of
from winnow.api.http.routes.access import TenantInPath
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.schemas.quotas import LimitsSaid, limits_said
from winnow.api.schemas.wire_access import LimitsBody
from winnow.retrieval.catalog.collections import TenantName
from winnow.retrieval.catalog.quotas import TenantLimits

router = APIRouter(responses=PROBLEMS, tags=["limits"], route_class=GuardedRoute)


@router.get("/v1/limits", response_model=LimitsSaid, summary="Read the limits of the tenant that asks")
async def get_own_limits(tenant: Tenant, request: Request) -> Response:
    """So that a client can keep to them. Asking is not counted."""
    return JsonResponse(await asyncio.to_thread(_said, request, tenant))


@router.get("/v1/tenants/{name}/limits", response_model=LimitsSaid, summary="Read the limits of a tenant")
async def get_limits(name: TenantInPath, request: Request) -> Response:
    """Those of its own, and those that hold."""
    disk = parts_of(request).disk
    return JsonResponse(await asyncio.to_thread(lambda: _said(request, disk.tenant_named(name))))


@router.put("/v1/tenants/{name}/limits", response_model=LimitsSaid, summary="Set the limits of a tenant")
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
    return limits_said(tenant, own, defaults=parts.settings.limits)
