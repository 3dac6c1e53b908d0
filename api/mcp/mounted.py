"""MCP over HTTP, inside the service: what the SDK answers to a request that the service has admitted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, MutableMapping
from importlib.util import find_spec
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from winnow.api.mcp.library import Library

PATH: Final = "/mcp"
_LIBRARY: Final = "winnow.library"  # in the scope of a request, for the tools


def is_installed() -> bool:
    """Whether the extra `mcp` is there."""
    return find_spec("mcp") is not None


class MountedMcp:
    """The SDK's application. Use it within `running`."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._app: asyncio.Future[Starlette] | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """May be entered again after its end: the SDK's application runs once, so each time has its own."""
        self._stop = asyncio.Event()
        try:
            yield
        finally:
            self._stop.set()
            if self._serving is not None:
                await asyncio.wait([self._serving])
            self._serving = self._app = None

    async def _started(self) -> Starlette:
        """Start the application with its first message: importing the SDK takes a third of the service's start."""
        if self._app is None:
            self._app = asyncio.get_running_loop().create_future()
            self._serving = asyncio.create_task(self._serve(self._app))
        return await asyncio.shield(self._app)

    async def _serve(self, started: asyncio.Future[Starlette]) -> None:
        """Run the application from its start to its end in one task, as its task group demands."""
        try:
            app = await asyncio.to_thread(_make_app)
            async with app.router.lifespan_context(app):
                started.set_result(app)
                await self._stop.wait()
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)

    async def answer(self, request: Request, library: Library) -> Response:
        """Answer one message of a client. Its tools see this library and nothing else."""
        app = await self._started()
        body = await request.body()
        waiting = [{"type": "http.request", "body": body, "more_body": False}]
        answer = Response()
        parts: list[bytes] = []

        async def receive() -> MutableMapping[str, Any]:
            if waiting:
                return waiting.pop()
            await asyncio.Event().wait()  # the service itself notices a caller who leaves
            raise AssertionError("nothing sets this event. This is a bug.")

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status_code = message["status"]
                answer.raw_headers = [each for each in message["headers"] if each[0].lower() != b"content-length"]
            else:
                parts.append(message.get("body", b""))

        await app({**request.scope, "path": PATH, "root_path": "", _LIBRARY: library}, receive, send)
        answer.body = b"".join(parts)
        answer.raw_headers.append((b"content-length", str(len(answer.body)).encode("ascii")))
        return answer


def _make_app() -> Starlette:
    """Import the SDK and build its application. Blocks."""
    from winnow.api.mcp.server import http_app, make_server

    return http_app(make_server(lambda context: _library_of(context.request_context.request)))


def _library_of(request: Any) -> Library:
    found: Library = request.scope[_LIBRARY]
    return found
