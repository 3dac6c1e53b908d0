"""Stops work for callers who have disconnected, here and on the model servers.

Only for answers without side effects: a write continues, because half of one would be worse than an unread answer.
"""

from __future__ import annotations

import asyncio
import contextlib
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

    The request's body must have been read.
    """
    answer = asyncio.ensure_future(answering)
    left = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({answer, left}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await answer  # until its resources are released
        raise CallerLeft
    finally:
        for task in (answer, left):
            task.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
