"""Builds the web service from its parts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import HTMLResponse, JSONResponse, Response

from winnow import __version__
from winnow.api.assemble import Services
from winnow.api.assemble_search import closing_pools
from winnow.api.collections.cleaning_up import CleaningUp
from winnow.api.diagnostics.freed_memory import FreedMemory
from winnow.api.diagnostics.readiness import Readiness, Spawned
from winnow.api.http.description.openapi import describe
from winnow.api.http.description.openapi_tools import describe_tools
from winnow.api.http.disconnect import CallerLeft
from winnow.api.http.docs_page import docs_page
from winnow.api.http.log_redaction import without_places
from winnow.api.http.methods import HeadAsGet, refuse_unrouted
from winnow.api.http.metrics import Telemetry
from winnow.api.http.observed import ObservedRequests
from winnow.api.http.page.routes import Page, is_installed
from winnow.api.http.problem_response import ProblemResponse, dialect_of
from winnow.api.http.problems import LIMIT_HEADER, REQUEST_ID_HEADER, Problem, problem_of, problem_of_fields
from winnow.api.http.request_body import Intake
from winnow.api.http.request_limits import Gate
from winnow.api.http.routes.late import LateRoutes, add_routes
from winnow.api.mcp.mounted import MountedMcp
from winnow.api.mcp.mounted import is_installed as mcp_is_installed
from winnow.api.model_loading import secret_problem
from winnow.retrieval.disk_causes import FULL
from winnow.retrieval.errors import WinnowError, WriteFailed
from winnow.retrieval.tracing import TracerProvider, request_id

log = logging.getLogger(__name__)

FAILED: Final = 500  # the first status that is the service's own fault
NO_TELEMETRY: Final[Any] = {  # FastAPI's own spans would double ours and hold queries of URLs; older versions ignore it
    "tracing": False, "metrics": False, "logs": False, "auto_configure": False
}  # fmt: skip

DESCRIPTION = """
Two-stage retrieval: vector recall proposes candidates, and a reranker that follows your instruction ranks them.

Send `Authorization: Bearer KEY`. A key's scopes (search, write, admin, operator) define what it may do. Until the first
key is created, the service answers only this machine. Every error has the same body: `detail` is a sentence for people,
`error.code` is for programs, `error.param` names the faulty field.

Every answer has the header `X-Request-Id`: the id that you sent in the same header (at most 128 of the characters A-Z,
a-z, 0-9, `.`, `_`, `:`, `=` and `-`), or a new one. The service's log and traces have it, too.
"""


def create_app(
    parts: Services,
    *,
    announce: Callable[[Readiness], None] = lambda _: None,
    spawned: Spawned | None = None,
    tracer_provider: TracerProvider | None = None,
    page_ahead: bool = False,
    late_routes: bool = False,
) -> FastAPI:
    """Create the service. The models are probed when it starts; `announce` is called afterwards.

    With `spawned` servers the service listens at once. When they answer, models are probed, and `announce` is called
    again. Spans go to the `tracer_provider`, or else to the process's. `page_ahead` has the page rendered before its
    first visit. With `late_routes` most routes are made only after the announcement (api/http/routes/late.py).
    """
    app = FastAPI(
        title="winnow",
        version=__version__,
        description=DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # api/http/methods.py redirects, without the Host header
        telemetry=NO_TELEMETRY,
    )
    app.openapi = partial(describe, app)  # type: ignore[method-assign]  # the framework's documented way to extend it
    app.state.parts = parts
    app.state.readiness = Readiness(parts, spawned)
    app.state.spawned = spawned
    app.state.announce = announce
    app.state.telemetry = Telemetry.over(parts)
    app.state.gate = Gate()
    app.state.intake = Intake()
    app.state.late_routes = LateRoutes(app, idle=parts.shadowing.idle) if late_routes else None
    if not late_routes:
        add_routes(app)
    app.state.mcp = MountedMcp() if mcp_is_installed() else None
    app.add_route("/docs", _docs, include_in_schema=False)
    app.add_route("/openapi-tools.json", _tools, include_in_schema=False)
    app.state.page = Page(installed=is_installed(), ahead=page_ahead)
    app.state.page.add_to(app)
    app.add_middleware(HeadAsGet)
    if parts.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=parts.settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["authorization", "content-type", REQUEST_ID_HEADER, "traceparent", "tracestate"],
            expose_headers=["retry-after", LIMIT_HEADER, REQUEST_ID_HEADER],
        )
    app.add_middleware(ObservedRequests, telemetry=app.state.telemetry, tracer_provider=tracer_provider)
    app.add_exception_handler(WinnowError, _handle_winnow_error)
    app.add_exception_handler(RequestValidationError, _handle_wrong_fields)
    app.add_exception_handler(HTTPException, _handle_http_error)
    app.add_exception_handler(OSError, _handle_os_error)
    app.add_exception_handler(Exception, _handle_unexpected)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open everything and probe the models, so that the first caller waits for neither.

    Due indexes are rebuilt meanwhile.
    """
    spawned, readiness = app.state.spawned, app.state.readiness

    async def served() -> None:
        try:
            await readiness.prepare()
        except WinnowError:  # unreadable data is no reason to end the model servers
            log.exception("not ready")
        await readiness.awaited()
        app.state.announce(readiness)

    parts = app.state.parts
    unshared = secret_problem(parts.settings) if spawned is None else None
    if unshared is not None:
        log.warning("%s", unshared)
    async with (
        closing_pools(*parts.pools, parts.conversations.rewriter),
        parts.folding.running(),
        CleaningUp(parts.collections, kept=parts.settings.generations_kept).running(),
        parts.usage.running(),
        parts.shadowing.running(),
        parts.sampling.running(),
        parts.scheduled.running(lambda: readiness.is_served),
        parts.deliveries.running(),
    ):
        try:
            await asyncio.to_thread(parts.uploads.sweep)
        except WinnowError:  # a catalog out of reach is no reason not to start
            log.exception("what unfinished uploads left was not removed")
        if spawned is None:
            await readiness.prepare()
        app.state.announce(readiness)
        try:
            async with (
                spawned.running(served) if spawned else contextlib.nullcontext(),
                FreedMemory().running(),
                app.state.page.running(),
                app.state.late_routes.running() if app.state.late_routes else contextlib.nullcontext(),
                app.state.mcp.running() if app.state.mcp else contextlib.nullcontext(),
            ):
                yield
        finally:
            await app.state.parts.access.settle()


async def _docs(request: Request) -> HTMLResponse:
    return HTMLResponse(docs_page(request.app.openapi()))


async def _tools(request: Request) -> JSONResponse:
    return JSONResponse(describe_tools(request.app.openapi(), server=str(request.base_url).rstrip("/")))


async def _handle_winnow_error(request: Request, error: Exception) -> ProblemResponse:
    """Tell the caller what happened; only the log tells where on this machine."""
    assert isinstance(error, WinnowError), "registered for this type. This is a bug."
    problem = problem_of(error)
    message = without_places(problem.message, data=request.app.state.parts.settings.data, all_=problem.status >= FAILED)
    if message != problem.message:
        log.error("%s %s: %s", request.method, request.scope.get("path"), problem.message)
    return ProblemResponse(replace(problem, message=message), dialect=dialect_of(request))


async def _handle_os_error(request: Request, error: Exception) -> ProblemResponse:
    """Report a full or read-only disk met outside our own writes, such as for a temporary file."""
    assert isinstance(error, OSError), "registered for this type. This is a bug."
    if error.errno not in FULL:
        raise error
    return await _handle_winnow_error(request, WriteFailed(str(error)))


async def _handle_wrong_fields(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError), "registered for this type. This is a bug."
    return ProblemResponse(problem_of_fields(list(error.errors())), dialect=dialect_of(request, error.body))


async def _handle_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for this type. This is a bug."
    if isinstance(error, CallerLeft):
        return Response(status_code=error.status_code)
    return await refuse_unrouted(request, error.status_code, error.detail)


async def _handle_unexpected(_request: Request, _error: Exception) -> ProblemResponse:
    """Handle an unexpected error: the server logs the traceback, the caller gets the usual body.

    This runs outside all middleware, so the header is set here.
    """
    answer = ProblemResponse(
        Problem(
            status=HTTPStatus.INTERNAL_SERVER_ERROR,
            code="internal_error",
            message="An unexpected error occurred in winnow; its log has the details.",
        )
    )
    answer.headers[REQUEST_ID_HEADER] = request_id()
    return answer
