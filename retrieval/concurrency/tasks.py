"""Structured concurrency: several coroutines as one call, work in a thread awaited to its end, and repeated work."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable
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


async def repeat(
    work: Callable[[], Awaitable[object]], *, pause_seconds: float, log: logging.Logger, problem: str
) -> None:
    """Run `work` until cancelled, with a pause after each run. An error is logged with its trace, after `problem`."""
    while True:
        try:
            await work()
        except Exception:
            # As broad as possible, because nothing awaits a task that repeats: an unexpected error, such as a bug,
            # would end it unseen until the next start. Cancellation is no Exception, and ends it.
            log.exception(problem)
        await asyncio.sleep(pause_seconds)


async def finish(task: asyncio.Task[None]) -> None:
    """Await the task's end in a `finally`. Its error replaces the one that is being raised, but no cancellation."""
    raised = sys.exc_info()[1]
    await asyncio.wait([task])
    failed = task.exception()
    if failed is not None and not isinstance(raised, asyncio.CancelledError):
        raise failed
