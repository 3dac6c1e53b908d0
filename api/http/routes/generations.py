"""The generations of a collection's index over HTTP: list them, roll back, build the next."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from winnow.api.assemble import Services
from winnow.api.collections.fold_process import FoldEnded
from winnow.api.collections.open_collections import OpenCollection
from winnow.api.http.auth import MeteredRoute, Tenant, parts_of
from winnow.api.http.routes.collections import Name
from winnow.api.http.routes.search import PROBLEMS, JsonResponse
from winnow.api.schemas.generations import (
    FoldedResponse,
    GenerationsResponse,
    RollbackBody,
    folded_response,
    generations_response,
)
from winnow.retrieval.errors import WriteFailed
from winnow.retrieval.generation.history import roll_back
from winnow.retrieval.generation.listing import listed
from winnow.retrieval.generation.pointer import rolled_back
from winnow.retrieval.tenancy import TenantName

router = APIRouter(responses=PROBLEMS, tags=["generations"], route_class=MeteredRoute)


@router.get("/v1/collections/{name}/generations", response_model=GenerationsResponse, summary="List generations")
async def list_generations(name: Name, tenant: Tenant, request: Request) -> Response:
    """List generations. A generation of the index never changes; any of them answers with the newest documents."""
    return JsonResponse(await asyncio.to_thread(_list, await _open(request, tenant, name)))


@router.post(
    "/v1/collections/{name}/generations/rollback",
    response_model=GenerationsResponse,
    summary="Roll back to an older index",
)
async def roll_back_generation(
    name: Name, tenant: Tenant, request: Request, body: RollbackBody | None = None
) -> Response:
    """Roll back to an older *index*, never to older documents: later writes are still found.

    It stays until the next generation is published; none is built automatically until you request one.
    """
    opened = await _open(request, tenant, name)

    def gone_back() -> GenerationsResponse:
        to = body.to if body else None
        roll_back(opened.folder, opened.collection.embedder, to=to, lease=opened.lease)
        opened.searchable.refresh()
        return _list(opened)

    return JsonResponse(await asyncio.to_thread(gone_back))


@router.post(
    "/v1/collections/{name}/fold",
    response_model=FoldedResponse,
    responses={202: {"model": FoldedResponse, "description": "The build continues in the background"}},
    summary="Build the next generation now",
)
async def fold_collection(name: Name, tenant: Tenant, request: Request) -> Response:
    """Build the next generation now. It is also built automatically, by size and age; building one ends a rollback."""
    parts = parts_of(request)
    building = parts.folding.ask(await _open(request, tenant, name))
    await asyncio.wait({building}, timeout=parts.settings.timeout_ms / 1000)
    if not building.done():
        return JsonResponse(folded_response(name, None), status=202)
    try:
        return JsonResponse(folded_response(name, building.result()))
    except (FoldEnded, OSError) as error:
        raise WriteFailed(str(error)) from error


async def _open(request: Request, tenant: TenantName, name: str) -> OpenCollection:
    parts: Services = parts_of(request)
    return await asyncio.to_thread(parts.collections.get, tenant, name)


def _list(opened: OpenCollection) -> GenerationsResponse:
    """Blocks."""
    return generations_response(
        opened.collection.name, listed(opened.folder), rolled_back(opened.folder), opened.searchable.newest
    )
