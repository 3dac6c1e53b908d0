"""Thresholds on ranking stability over HTTP: parse, call, render."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from winnow.api.fields import CollectionName
from winnow.api.http.auth import Caller, MeteredRoute, Tenant, parts_of
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.schemas.alerts.thresholds import ThresholdsBody, ThresholdsResponse, thresholds_response

router = APIRouter(responses=PROBLEMS, tags=["stability"], route_class=MeteredRoute)


@router.get("/v1/stability/thresholds", response_model=ThresholdsResponse, summary="Read thresholds")
async def read_thresholds(tenant: Tenant, request: Request) -> Response:
    """Return the tenant's thresholds, first those for all collections."""
    found = await asyncio.to_thread(parts_of(request).disk.catalog.thresholds.of_tenant, tenant)
    return JsonResponse(thresholds_response(found))


@router.put("/v1/stability/thresholds", response_model=ThresholdsResponse, summary="Set thresholds")
async def set_thresholds(body: ThresholdsBody, caller: Caller, request: Request) -> Response:
    """Set the thresholds of all collections, or of one, in place of earlier ones; return all of the tenant.

    Every later run of a golden set is compared with those of its collection, or else with those for all collections.
    """
    catalog = parts_of(request).disk.catalog
    if body.collection is not None:
        await asyncio.to_thread(catalog.collections.get, caller.tenant, body.collection)
    put = partial(catalog.thresholds.put, body.thresholds(caller.tenant), by=caller.actor)
    await asyncio.to_thread(put)
    return JsonResponse(thresholds_response(await asyncio.to_thread(catalog.thresholds.of_tenant, caller.tenant)))


@router.delete("/v1/stability/thresholds", response_model=ThresholdsResponse, summary="Remove thresholds")
async def remove_thresholds(
    caller: Caller,
    request: Request,
    collection: Annotated[
        CollectionName | None, Query(description="Of this collection; by default those for all collections.")
    ] = None,
) -> Response:
    """Remove thresholds, if there are any; return what the tenant still has."""
    thresholds = parts_of(request).disk.catalog.thresholds
    await asyncio.to_thread(partial(thresholds.remove, caller.tenant, collection, by=caller.actor))
    return JsonResponse(thresholds_response(await asyncio.to_thread(thresholds.of_tenant, caller.tenant)))
