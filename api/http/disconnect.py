"""Stops work for callers who have disconnected, here and on the model servers.

Only for answers without side effects: a write continues, because half of one would be worse than an unread answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from fastapi import Request
from starlette.exceptions import HTTPException

CLIENT_CLOSED_REQUEST: Final = 499  # nginx's number; only the access log shows it

Answer = TypeVar("Answer")


class CallerLeft(HTTPException):
    """The caller disconnected; no answer will be read."""

    def __init__(self) -> None:
        super().__init__(CLIENT_CLOSED_REQUEST, detail="the caller disconnected")


async def while_connected(request: Request, answering: Coroutine[Any, Any, Answer]) -> Answer:
    """Return or raise what `answering` does; cancel it and raise `CallerLeft` once the caller disconnects.

    The request's body must have been read. It runs in the caller's task, since another would cost turns of the loop; a
    cancellation is counted as `asyncio.timeout` does, so that one from elsewhere stays one. Watching begins when the
    answer waits for something: most searches do not, and a task takes longer than parsing their request.
    """
    route, has_left = asyncio.current_task(), False
    watching: asyncio.Task[None] | None = None
    assert route is not None, "coroutines run in tasks. This is a bug."
    cancelled_before = route.cancelling()

    def leave(_: asyncio.Task[None]) -> None:
        nonlocal has_left
        has_left = True
        route.cancel()

    def watch() -> None:
        nonlocal watching
        watching = asyncio.ensure_future(_left(request))
        watching.add_done_callback(leave)

    beginning = asyncio.get_running_loop().call_soon(watch)
    try:
        return await answering  # also after the caller left: until its resources are released
    except asyncio.CancelledError:
        if has_left and route.cancelling() == cancelled_before + 1:
            raise CallerLeft from None
        raise
    finally:
        beginning.cancel()
        if watching is not None:
            watching.remove_done_callback(leave)
            watching.cancel()
        if has_left:
            route.uncancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
