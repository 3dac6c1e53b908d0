"""Gives memory that was freed back to the system while the service runs.

The C library keeps freed memory for later, wherever it lies: after a reranking, 6 % of what a service holds. Giving it
back takes 20 ms, in which other threads may wait, so it is done only after the process has grown; while it is idle, a
little growth is enough.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

from winnow.retrieval.concurrency.tasks import repeat
from winnow.retrieval.index.memory import give_memory_back, resident_bytes

LOOK_SECONDS: Final = 10.0
GROWTH_BYTES: Final = 16_000_000  # since the last time, for which it is done again
GROWTH_BYTES_IDLE: Final = 2_000_000  # the same of an idle process
IDLE_CPU_SECONDS: Final = 0.5  # between two looks; a service without requests takes 0.1

log = logging.getLogger(__name__)


class FreedMemory:
    """The freed memory of this process."""

    def __init__(
        self,
        *,
        resident: Callable[[], int | None] = resident_bytes,
        give_back: Callable[[], None] = give_memory_back,
        cpu_seconds: Callable[[], float] = time.process_time,
    ) -> None:
        """`cpu_seconds` is the CPU time that the process has taken since its start."""
        self._resident = resident
        self._give_back = give_back
        self._cpu_seconds = cpu_seconds
        self._used = 0.0  # of it, at the last look
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
        now, before = self._resident(), self._used
        self._used = self._cpu_seconds()
        if now is None:
            return
        is_idle = self._used - before <= IDLE_CPU_SECONDS
        if now - self._least >= (GROWTH_BYTES_IDLE if is_idle else GROWTH_BYTES):
            self._give_back()
            self._least = self._resident() or now
        else:
            self._least = min(self._least, now)
