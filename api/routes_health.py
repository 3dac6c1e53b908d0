"""GET /healthz: is the process alive? GET /readyz: can it answer, and if not, why? GET /metrics: what has it done?"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.readiness import Readiness
from api.routes import PROBLEMS, JsonResponse, Tenant, telemetry_of, tenant_of
from api.telemetry import CONTENT_TYPE, METRICS
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


@router.get(
    "/metrics",
    summary="What has it done, in Prometheus' text format?",
    description="\n\n".join(
        ["Asks for a key like any route but the two above: how much a service is used is its owner's affair."]
        + [f"{each.shown} ({each.kind}): {each.said}" for each in METRICS]
    ),
    responses={401: PROBLEMS[401]},
)
async def metrics(_: Tenant, request: Request) -> Response:
    return Response(telemetry_of(request).text(), media_type=CONTENT_TYPE)


async def _may_see(request: Request) -> bool:
    """The names of collections are the tenant's; a load balancer that has no key needs none of them."""
    try:
        await tenant_of(request)
    except (KeyRefused, NotPermitted):
        return False
    return True
