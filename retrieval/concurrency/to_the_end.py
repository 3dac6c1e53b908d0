"""How is a blocking write awaited so that no cancellation leaves it running behind its caller's back?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


async def to_the_end(work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
    """In a thread, as `asyncio.to_thread`; but a cancellation takes effect only after the work has ended.

    A commit cannot be taken back, and the lock that its caller holds must outlast it.
    """
    task = asyncio.create_task(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
