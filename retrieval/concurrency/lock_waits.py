"""Waits for the lock of a collection in threads of their own: those of the event loop answer searches meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from contextvars import copy_context
from typing import Final, Protocol

from winnow.retrieval.concurrency.tasks import run_to_completion
from winnow.retrieval.errors import CollectionBusy

WAITING_MAX: Final = 64  # collections whose lock another process has, for which writes of this process wait
_NOTHING: Final = (None, None, None)  # was raised


class Lock(Protocol):
    """Makes the context manager that holds the lock. Raises `CollectionBusy` if it waited in vain."""

    def __call__(self, *, wait_seconds: float) -> AbstractContextManager[None]: ...


class LockWaits:
    """Enters locks from coroutines."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(WAITING_MAX, thread_name_prefix="winnow-lock")

    @asynccontextmanager
    async def held(self, lock: Lock, *, wait_seconds: float) -> AsyncIterator[None]:
        """Hold it. Raises what `lock` raises, which is called again if the first try is in vain."""
        held = lock(wait_seconds=0.0)
        try:
            await self._enter(held, None)
        except CollectionBusy:
            held = lock(wait_seconds=wait_seconds)
            await self._enter(held, self._threads)
        async with AsyncExitStack() as stack:
            stack.push_async_exit(lambda *raised: run_to_completion(held.__exit__, *raised))
            yield

    async def _enter(self, held: AbstractContextManager[None], threads: ThreadPoolExecutor | None) -> None:
        """Without `threads`, in one of the event loop's."""
        context = copy_context()
        entering = asyncio.get_running_loop().run_in_executor(threads, context.run, held.__enter__)
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:  # the caller has left, but the thread may still get the lock
            entering.add_done_callback(lambda done: self._leave(held, done))
            raise

    def _leave(self, held: AbstractContextManager[None], entered: asyncio.Future[None]) -> None:
        if not entered.cancelled() and entered.exception() is None:
            self._threads.submit(held.__exit__, *_NOTHING)
