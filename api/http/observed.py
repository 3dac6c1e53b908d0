"""The outermost middleware: gives each request its id and its span, counts it, and writes its line of the log.

Rule 1: also for requests that are refused before routing.
Rule 2: the log has the path as it was sent, without the query string, so no control character and no query of a caller.
Rule 3: a span has the path only where a route took it: any other is a caller's text.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from winnow import __version__
from winnow.api.http.metrics import UNROUTED, Telemetry
from winnow.api.http.problems import REQUEST_ID_HEADER
from winnow.retrieval import tracing
from winnow.retrieval.concurrency.loop_turns import LoopTurns
from winnow.retrieval.tracing import RequestRecord, TracerProvider

FAILED: Final = 500  # the first status that is the service's own fault, and that of a request without our answer
_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredRequest:
    """What the log says of one request. Formatters find it as `record.request`."""

    client: str
    method: str
    path: str
    route: str  # the path's pattern
    status: int
    duration_ms: float  # to the last byte of the answer
    record: RequestRecord


class ObservedRequests:
    """ASGI middleware around everything but the handler of unexpected errors."""

    def __init__(self, app: ASGIApp, *, telemetry: Telemetry, tracer_provider: TracerProvider | None = None) -> None:
        self._app = app
        self._telemetry = telemetry
        self._tracer = tracing.make_tracer(tracer_provider, __version__)
        self._turns = LoopTurns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, duration = time.perf_counter(), FAILED, 0.0
        headers = Headers(scope=scope)
        record = RequestRecord.of(_sent_id(headers))

        async def watched(message: Message) -> None:
            nonlocal status, duration
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = record.request_id
            await send(message)
            duration = time.perf_counter() - began

        with tracing.following(
            record, headers, tracer=self._tracer, name=_method(scope), attributes=_request_attributes(scope)
        ):
            try:
                await self._turns.take()
                await self._app(scope, receive, watched)
            finally:
                request = AnsweredRequest(
                    client=_client(scope),
                    method=scope["method"],
                    path=_path(scope),
                    route=getattr(scope.get("route"), "path", UNROUTED),
                    status=status,
                    duration_ms=1_000.0 * (duration or time.perf_counter() - began),
                    record=record,
                )
                self._telemetry.requested(request.route, status)
                _conclude(scope, request)
                _write(request, version=scope["http_version"])


def _conclude(scope: Scope, request: AnsweredRequest) -> None:
    """Name the request's span by OpenTelemetry's conventions for HTTP servers."""
    attributes: dict[str, str | int] = {
        "http.response.status_code": request.status,
        tracing.REQUEST_ID: request.record.request_id,
    }
    if request.route != UNROUTED:
        attributes |= {"http.route": request.route, "url.path": request.path}
    if request.record.tenant is not None:
        attributes[tracing.TENANT] = request.record.tenant
    method = _method(scope)
    name = method if request.route == UNROUTED else f"{method} {request.route}"
    tracing.conclude(name, attributes, error=str(request.status) if request.status >= FAILED else None)


def _request_attributes(scope: Scope) -> dict[str, str | int]:
    """Return what is known before the request is routed; the host is the server's own, not what the caller claims."""
    found: dict[str, str | int] = {
        "http.request.method": _method(scope),
        "url.scheme": scope["scheme"],
        "network.protocol.version": scope["http_version"],
    }
    server = scope.get("server")
    if server:
        found["server.address"] = server[0]
        if server[1] is not None:
            found["server.port"] = server[1]
    return found


def _method(scope: Scope) -> str:
    """Return the method, or what the conventions call all that are not known: they are a caller's text."""
    method: str = scope["method"]
    return method if method in _METHODS else "_OTHER"


def _write(request: AnsweredRequest, *, version: str) -> None:
    """The status is the last argument: the filter of refusals reads it there."""
    log.info(
        '%s - "%s %s HTTP/%s" %d',
        request.client,
        request.method,
        request.path,
        version,
        request.status,
        extra={"request": request},
    )


def _sent_id(headers: Headers) -> str | None:
    sent = headers.getlist(REQUEST_ID_HEADER)
    return sent[0] if len(sent) == 1 else None


def _client(scope: Scope) -> str:
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else "-"


def _path(scope: Scope) -> str:
    raw: bytes = scope["raw_path"]
    return raw.partition(b"?")[0].decode("ascii", errors="backslashreplace")
