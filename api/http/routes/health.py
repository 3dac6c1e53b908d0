"""GET /healthz: whether the process is alive. GET /readyz: whether it can answer, or why not. GET /metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from winnow import __version__
from winnow.api.diagnostics.readiness import Readiness
from winnow.api.http.auth import Anybody, AuthorizedRoute, parts_of
from winnow.api.http.description.openapi import PROBLEM
from winnow.api.http.log_redaction import problems_without_places
from winnow.api.http.metric_table import METRICS
from winnow.api.http.metrics import CONTENT_TYPE, OPENMETRICS, OPENMETRICS_CONTENT_TYPE
from winnow.api.http.problems import MEDIA_TYPE
from winnow.api.http.routes.search import PROBLEMS, JsonResponse, telemetry_of
from winnow.api.schemas.health import HealthResponse, ReadyResponse

router = APIRouter(tags=["health"], route_class=AuthorizedRoute)


@router.get("/healthz", response_model=HealthResponse, summary="Check that the process is alive")
async def healthz() -> Response:
    body: HealthResponse = {"status": "alive", "version": __version__}
    return JsonResponse(body)


@router.get(
    "/readyz",
    response_model=ReadyResponse,
    summary="Check that collections are open and models work",
    responses={
        503: {
            "description": "Not ready, with the same body as 200; or a problem if the catalog does not answer",
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/ReadyResponse"}},
                MEDIA_TYPE: PROBLEM,
            },
        }
    },
)
async def readyz(caller: Anybody, request: Request) -> Response:
    """Return 503 until the models have separated a relevant from an irrelevant passage, in English and Chinese.

    Works without a key. With a key it names the tenant's collections; operators also see addresses and problems.
    """
    readiness = request.app.state.readiness
    assert isinstance(readiness, Readiness), "create_app sets it. This is a bug."
    body = problems_without_places(await readiness.report(caller), data=parts_of(request).settings.data)
    return JsonResponse(body, status=200 if body["status"] == "ready" else 503)


@router.get(
    "/metrics",
    summary="Read metrics in Prometheus' text format",
    description="\n\n".join(
        [
            "Return all metrics. Requires the scope operator, because metrics cover all tenants.",
            f"With `Accept: {OPENMETRICS}` the answer is in that format, and measurements of stages name a trace.",
        ]
        + [f"{each.shown} ({each.kind}): {each.said}" for each in METRICS]
    ),
    response_class=Response,
    responses={
        200: {
            "description": "The metrics",
            "content": {
                CONTENT_TYPE.partition(";")[0]: {"schema": {"type": "string"}},
                OPENMETRICS: {"schema": {"type": "string"}},
            },
        },
        **{status: PROBLEMS[status] for status in (401, 403, 503)},
    },
)
async def metrics(request: Request) -> Response:
    telemetry = telemetry_of(request)
    if OPENMETRICS in request.headers.get("accept", ""):
        return Response(telemetry.openmetrics(), media_type=OPENMETRICS_CONTENT_TYPE)
    return Response(telemetry.text(), media_type=CONTENT_TYPE)
