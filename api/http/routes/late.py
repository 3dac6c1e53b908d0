"""The routes that a start does not wait for: all but the search and /readyz.

Making them takes a third of a second, most of it for their schemas. It is done in another thread right after the
service is ready, once no search is in progress; a request that comes sooner waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import import_module
from typing import Final

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from winnow.api.http.routes.health import router as health
from winnow.api.http.routes.search import router as answers

AFTER_SECONDS: Final = 0.2  # for what follows readiness at once: listening, the first answer of /readyz, a search
BUSY_SECONDS_MAX: Final = 5.0  # for which searches that are in progress go first
_MODULE: Final = "winnow.api.http.routes.routers"
_FIRST: Final = (*answers.routes, *health.routes)


class LateRoutes(BaseRoute):
    """The first of an app's routes until all are made: takes every request that no first route answers."""

    def __init__(self, app: FastAPI, *, idle: Callable[[float], Awaitable[None]]) -> None:
        """`idle` waits until no search is in progress, at most so many seconds."""
        self._app = app
        self._idle = idle
        self._making: asyncio.Task[None] | None = None
        app.router.routes.insert(0, self)
        app.router.routes.extend(_FIRST)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Make the routes meanwhile."""
        ahead = asyncio.create_task(self._make_ahead())
        try:
            yield
        finally:
            unfinished = [task for task in (ahead, self._making) if task is not None]
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        is_first = any(route.matches(scope)[0] is Match.FULL for route in _FIRST)
        return (Match.NONE, {}) if is_first else (Match.FULL, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.made()
        await self._app.router(scope, receive, send)

    async def made(self) -> None:
        """Wait until all routes are made. Those that could not be made are tried again."""
        if self._making is None or (self._making.done() and self._making.exception() is not None):
            self._making = asyncio.create_task(self._make())
        await asyncio.shield(self._making)

    async def _make_ahead(self) -> None:
        await asyncio.sleep(AFTER_SECONDS)
        await self._idle(BUSY_SECONDS_MAX)
        await self.made()

    async def _make(self) -> None:
        await asyncio.to_thread(import_module, _MODULE)
        table = self._app.router.routes
        table.remove(self)
        place = table.index(_FIRST[0])
        del table[place : place + len(_FIRST)]
        add_routes(self._app, place=place)  # on the event loop, so no request looks for its route meanwhile
        gc.freeze()  # as at the start: what is loaded stays, and no collection looks through it


def add_routes(app: FastAPI, *, place: int | None = None) -> None:
    """Add all routes to the app's table, at this place or at the end.

    `include_router` would build each route a second time, at the first request.
    """
    from winnow.api.http.routes.routers import ROUTERS

    table = app.router.routes
    place = len(table) if place is None else place
    table[place:place] = [route for router in ROUTERS for route in router.routes]
