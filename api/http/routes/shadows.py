"""Shadows of instructions over HTTP: parse, call, render."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from winnow.api.http.auth import Caller, MeteredRoute, Tenant, parts_of
from winnow.api.http.routes.instructions import Name, Version
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.schemas.collections import DeletedResponse, deleted_response
from winnow.api.schemas.instructions import InstructionResponse, instruction_response
from winnow.api.schemas.shadows import (
    ShadowBody,
    ShadowReportResponse,
    ShadowResponse,
    ShadowsResponse,
    report_response,
    shadow_response,
    shadows_response,
)
from winnow.retrieval.catalog.instructions import Reference

router = APIRouter(responses=PROBLEMS, tags=["instructions"], route_class=MeteredRoute)


@router.get("/v1/instructions/shadows", response_model=ShadowsResponse, summary="List shadows")
async def list_shadows(tenant: Tenant, request: Request) -> Response:
    """List the tenant's shadows, by name."""
    found = await asyncio.to_thread(parts_of(request).disk.catalog.shadows.of, tenant)
    return JsonResponse(shadows_response(found))


@router.put("/v1/instructions/{name}/shadow", response_model=ShadowResponse, summary="Start a shadow")
async def start_shadow(name: Name, body: ShadowBody, caller: Caller, request: Request) -> Response:
    """Also rerank a share of the searches with this version, after they were answered.

    Replaces the name's current shadow. Uses the candidates of the live version: recall is not repeated.
    """
    parts = parts_of(request)
    start = partial(parts.disk.catalog.shadows.start, caller.tenant, name, body.wish, by=caller.actor)
    started = await asyncio.to_thread(start)
    await parts.shadowing.refresh()
    return JsonResponse(shadow_response(started))


@router.get("/v1/instructions/{name}/shadow", response_model=ShadowReportResponse, summary="Read a shadow's report")
async def report_shadow(name: Name, tenant: Tenant, request: Request) -> Response:
    """Return, by pair of versions, how similar the two orders are, and the most changed searches."""
    parts = parts_of(request)
    await parts.shadowing.refresh()
    return JsonResponse(report_response(await asyncio.to_thread(parts.disk.catalog.shadows.report, tenant, name)))


@router.delete("/v1/instructions/{name}/shadow", response_model=DeletedResponse, summary="End a shadow")
async def stop_shadow(
    name: Name,
    caller: Caller,
    request: Request,
    *,
    forget: Annotated[Literal["true", "false"], Query(description="Also delete its comparisons.")] = "false",
) -> Response:
    """Stop a shadow. Its report stays, unless `forget` is true."""
    parts = parts_of(request)
    await parts.shadowing.refresh()
    stop = partial(parts.disk.catalog.shadows.stop, caller.tenant, name, forget=forget == "true", by=caller.actor)
    await asyncio.to_thread(stop)
    await parts.shadowing.refresh()
    return JsonResponse(deleted_response(name))


@router.post(
    "/v1/instructions/{name}/versions/{version}/promote", response_model=InstructionResponse, summary="Promote a draft"
)
async def promote(name: Name, version: Version, caller: Caller, request: Request) -> Response:
    """Publish the draft, so that its name means it, and stop the name's shadow."""
    parts = parts_of(request)
    await parts.shadowing.refresh()
    reference = Reference(name=name, version=version)
    promoted = await asyncio.to_thread(
        partial(parts.disk.catalog.shadows.promote, caller.tenant, reference, by=caller.actor)
    )
    await parts.shadowing.refresh()
    return JsonResponse(instruction_response(promoted))
