"""Is the caller still there? Work for somebody who has left is ended, here and on the model servers.

Only for answers that change nothing: a write goes on, for half of one would be worse than one that nobody waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from fastapi import Request
from starlette.exceptions import HTTPException

CLIENT_CLOSED_REQUEST: Final = 499  # nginx's number for it; nobody reads it but the access log

Answer = TypeVar("Answer")


class CallerLeft(HTTPException):
    """Nobody will read this answer."""

    def __init__(self) -> None:
        super().__init__(CLIENT_CLOSED_REQUEST, detail="the caller left")


async def while_connected(request: Request, answering: Coroutine[Any, Any, Answer]) -> Answer:
    """What `answering` returns or raises; it is cancelled, and `CallerLeft` raised, once the caller has left.

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
            await answer  # until what it held is let go
        raise CallerLeft
    finally:
        for task in (answer, left):
            task.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
