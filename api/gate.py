"""Is this request small enough, and is there room for it? Asked before anything is read or parsed."""

from __future__ import annotations

import uuid
from typing import Final

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import MEDIA_TYPE, Problem, problem_of
from retrieval.errors import LimitExceeded, Overloaded
from retrieval.limits import REQUEST_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX

# A busy service is alive and must be able to say so, and how busy it is: that is when somebody looks.
ALWAYS_ANSWERED: Final = frozenset({"/healthz", "/readyz", "/metrics"})


class ProblemResponse(Response):
    """A problem as the caller gets it."""

    media_type = MEDIA_TYPE

    def __init__(self, problem: Problem) -> None:
        body = orjson.dumps(problem.body(f"req_{uuid.uuid4().hex}"))
        super().__init__(body, status_code=problem.status, headers=problem.headers)


class BodyTooLong(HTTPException):
    """Raised where a body turns out to be too long while it is read (no Content-Length, or a wrong one)."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(413, detail=f"the body has more than {bytes_max} bytes")


class Gate:
    """ASGI middleware: bounds the size of a body and the number of requests in flight."""

    def __init__(
        self, app: ASGIApp, *, bytes_max: int = REQUEST_BYTES_MAX, in_flight_max: int = REQUESTS_IN_FLIGHT_MAX
    ) -> None:
        self._app = app
        self._bytes_max = bytes_max
        self._in_flight_max = in_flight_max
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ALWAYS_ANSWERED:
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await ProblemResponse(refusal)(scope, receive, send)
            return
        self._in_flight += 1
        try:
            await self._app(scope, self._counted(receive), send)
        finally:
            self._in_flight -= 1

    def _refusal(self, scope: Scope) -> Problem | None:
        if self._in_flight >= self._in_flight_max:
            return problem_of(Overloaded(f"{self._in_flight} requests are being answered"))
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._bytes_max:
            return problem_of(LimitExceeded(f"the body has {int(announced)} bytes; {self._bytes_max} are allowed"))
        return None

    def _counted(self, receive: Receive) -> Receive:
        """The announced length is the caller's word only; what arrives is counted."""
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._bytes_max:
                raise BodyTooLong(self._bytes_max)
            return message

        return counted
