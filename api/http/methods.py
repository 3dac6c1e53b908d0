"""What HTTP expects of every service: HEAD for every GET, the allowed methods of a path, and answers without a route.

Rule 1: if a key is needed, a caller without one learns only that, even for paths that do not exist.
Rule 2: a redirect contains a path, never a host: the Host header is the caller's claim.
"""

from __future__ import annotations

import re
from typing import Final

from fastapi import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from winnow.api.http.auth import parts_of
from winnow.api.http.problem_response import ProblemResponse
from winnow.api.http.problems import problem_of, problem_of_status
from winnow.api.http.scopes import NEEDED, OPEN
from winnow.retrieval.errors import KeyRefused, NotPermitted

PUBLIC: Final = frozenset({  # the interface, not the data
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/openapi-tools.json"),
    ("GET", "/"),
    ("GET", "/ui"),
    ("GET", "/ui/{path:path}"),
})  # fmt: skip
_METHODS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (compile_path(path)[0], method) for method, path in (*NEEDED, *PUBLIC)
)
_OPEN_PATHS: Final = frozenset(path for (_, path), needed in NEEDED.items() if needed == OPEN) | {
    path for _, path in PUBLIC
}


class HeadAsGet:
    """ASGI middleware that answers HEAD like GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app(dict(scope, method="GET"), receive, without_body)


def methods_of(path: str) -> tuple[str, ...]:
    """Return the methods of this path; empty if there is nothing."""
    found = {method for pattern, method in _METHODS if pattern.match(path)}
    return tuple(sorted(found | {"HEAD"} if "GET" in found else found))


async def refuse_unrouted(request: Request, status: int, detail: str) -> Response:
    """Answer a request that no route takes."""
    path = request.url.path
    if path not in _OPEN_PATHS:
        try:
            await parts_of(request).access.principal(
                authorization=request.headers.get("authorization"), host=request.headers.get("host")
            )
        except (KeyRefused, NotPermitted) as error:
            return ProblemResponse(problem_of(error))
    allowed, bare = methods_of(path), path.rstrip("/")
    if not allowed and bare != path and methods_of(bare) and request.method in methods_of(bare):
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{request.scope['raw_path'].decode('ascii').rstrip('/')}{query}", status_code=307)
    answer = ProblemResponse(problem_of_status(status, f"{detail}: {request.method} {path}"))
    if allowed:
        answer.headers["allow"] = ", ".join(allowed)
    return answer
