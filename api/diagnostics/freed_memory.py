"""Gives memory that was freed back to the system while the service runs.

The C library keeps freed memory for later, wherever it lies: after a reranking, 6 % of what a service holds. Giving it
back takes 20 ms, in which other threads may wait, so it is done only after the process has grown.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

from winnow.retrieval.concurrency.tasks import repeat
from winnow.retrieval.index.memory import give_memory_back, resident_bytes

LOOK_SECONDS: Final = 10.0
GROWTH_BYTES: Final = 16_000_000  # since the last time, for which it is done again

log = logging.getLogger(__name__)


class FreedMemory:
    """The freed memory of this process."""

    def __init__(
        self,
        *,
        resident: Callable[[], int | None] = resident_bytes,
        give_back: Callable[[], None] = give_memory_back,
    ) -> None:
        self._resident = resident
        self._give_back = give_back
        self._least = 0  # bytes in memory after the last time, or since

    @contextlib.asynccontextmanager
    async def running(self, *, look_seconds: float = LOOK_SECONDS) -> AsyncIterator[None]:
        """Look repeatedly until the block ends."""
        looking = asyncio.create_task(
            repeat(
                partial(asyncio.to_thread, self.look),
                pause_seconds=look_seconds,
                log=log,
                problem="freed memory was not given back",
            )
        )
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    def look(self) -> None:
        """Give freed memory back if the process has grown. Blocks."""
        now = self._resident()
        if now is None:
            return
        if now - self._least >= GROWTH_BYTES:
            self._give_back()
            self._least = self._resident() or now
        else:
            self._least = min(self._least, now)
