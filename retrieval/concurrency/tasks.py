"""Several things at once for one caller: all of them, or the first failure."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

Answer = TypeVar("Answer")


async def together(parts: Iterable[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """Their answers in order. The first failure ends the others, and is raised as it is: one caller, one reason."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in parts]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]
