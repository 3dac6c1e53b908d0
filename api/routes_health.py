"""GET /healthz: is the process alive? GET /readyz: can it answer, and if not, why?"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.readiness import Readiness
from api.routes import JsonResponse, tenant_of
from api.version import VERSION
from retrieval.errors import KeyRefused, NotPermitted

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> Response:
    return JsonResponse({"status": "alive", "version": VERSION})


@router.get("/readyz", summary="Are collections open, and did the models answer a known pair?")
async def readyz(request: Request) -> Response:
    """503 until the models have separated a relevant from an irrelevant passage, in English and in Chinese."""
    readiness = request.app.state.readiness
    assert isinstance(readiness, Readiness), "create_app sets it. This is a bug."
    body = await readiness.report(names_shown=await _may_see(request))
    return JsonResponse(body, status=200 if readiness.is_ready else 503)


async def _may_see(request: Request) -> bool:
    """The names of collections are the tenant's; a load balancer that has no key needs none of them."""
    try:
        await tenant_of(request)
    except (KeyRefused, NotPermitted):
        return False
    return True
