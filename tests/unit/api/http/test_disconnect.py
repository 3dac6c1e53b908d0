"""api/http/disconnect.py: nothing is computed for somebody who has left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from fastapi import Request
from starlette.types import Message

from winnow.api.http.disconnect import CallerLeft, while_connected


def request_that(receives: Callable[[], Coroutine[Any, Any, Message]]) -> Request:
    return Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive=receives)


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


async def test_an_answer_is_passed_on() -> None:
    """And what it raises."""

    async def fails() -> None:
        raise LookupError("this one")

    assert await while_connected(request_that(never), asyncio.sleep(0, "answer")) == "answer"
    with pytest.raises(LookupError, match="this one"):
        await while_connected(request_that(never), fails())


async def test_work_ends_when_the_caller_leaves() -> None:
    """Before the route returns, so that what it held is free again."""
    messages = iter([{"type": "http.request"}, {"type": "http.disconnect"}])
    ended: list[str] = []

    async def leaves() -> Message:
        await asyncio.sleep(0.01)
        return next(messages)

    async def works() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("work")

    with pytest.raises(CallerLeft):
        await while_connected(request_that(leaves), works())
    assert ended == ["work"]


async def test_work_ends_when_the_route_is_cancelled() -> None:
    """A server that stops cancels its routes; nothing of theirs may stay behind."""
    ended = asyncio.Event()

    async def works() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    route = asyncio.create_task(while_connected(request_that(never), works()))
    await asyncio.sleep(0.01)
    route.cancel()
    with pytest.raises(asyncio.CancelledError):
        await route
    async with asyncio.timeout(1):
        await ended.wait()
