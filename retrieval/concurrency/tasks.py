"""Structured concurrency: several coroutines as one call, and work in a thread that is awaited to its end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar, TypeVarTuple

Answer = TypeVar("Answer")


async def gather_or_raise(parts: Iterable[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """Return the results in order. The first failure cancels the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in parts]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


async def run_to_completion(work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
    """Run in a thread, like `asyncio.to_thread`, but delay a cancellation until the work has ended.

    A commit cannot be undone, and the lock that its caller holds must outlast it.
    """
    task = asyncio.create_task(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def unless_failed(task: asyncio.Task[Answer], other: asyncio.Task[None]) -> Answer:
    """Await the task, and raise the other's error as soon as that fails. If this raises, the task has ended."""
    try:
        while not task.done():
            pending = {each for each in (task, other) if not each.done()}
            await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            if other.done():
                other.result()
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        _ = task.cancelled() or task.exception()  # it is known, whichever error is raised


async def finish(task: asyncio.Task[None]) -> None:
    """Await the task's end in a `finally`. Its error replaces the one that is being raised, but no cancellation."""
    raised = sys.exc_info()[1]
    await asyncio.wait([task])
    failed = task.exception()
    if failed is not None and not isinstance(raised, asyncio.CancelledError):
        raise failed
