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


async def test_a_caller_who_leaves_while_the_server_stops_does_not_hide_it() -> None:
    """Both cancel the same task: the server's must still end the route, and whatever awaits it."""
    may_leave = asyncio.Event()

    async def leaves() -> Message:
        await may_leave.wait()
        return {"type": "http.disconnect"}

    async def works() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)

    route = asyncio.create_task(while_connected(request_that(leaves), works()))
    await asyncio.sleep(0)
    may_leave.set()
    await asyncio.sleep(0)
    route.cancel()
    with pytest.raises(asyncio.CancelledError):
        await route
    assert route.cancelled()


async def test_the_task_goes_on_after_the_caller_has_left() -> None:
    """Its later waits are not cancelled, and timeouts inside and outside the work still mean themselves."""

    async def leaves() -> Message:
        return {"type": "http.disconnect"}

    async def works() -> None:
        async with asyncio.timeout(60):
            await asyncio.sleep(60)

    async with asyncio.timeout(10):
        with pytest.raises(CallerLeft):
            await while_connected(request_that(leaves), works())
        await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await while_connected(request_that(never), works())


async def test_an_answer_that_came_before_the_caller_left_counts() -> None:
    """What does not end when it is cancelled has answered; nothing is left cancelled."""

    async def leaves() -> Message:
        return {"type": "http.disconnect"}

    async def works() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "answer"
        return "late"

    assert await while_connected(request_that(leaves), works()) == "answer"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)
