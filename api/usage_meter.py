"""Adds up in memory what each tenant uses, and writes it to the catalog every few seconds.

A service that stops in order writes everything; one that is killed loses what it added since the last write. Commands
are not counted, only requests to a service (api/accounting.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from typing import Final

from winnow.retrieval.catalog.quotas import Usage, UsageBook
from winnow.retrieval.errors import StorageError, UnavailableError

FLUSH_SECONDS: Final = 5.0  # the most that a kill can cost

log = logging.getLogger(__name__)


def _today() -> date:
    return datetime.now(UTC).date()


class UsageMeter:
    """Adds up the usage of one process. Use it from one event loop."""

    def __init__(self, book: UsageBook, *, today: Callable[[], date] = _today) -> None:
        self.book = book
        self.today = today
        self._used: dict[tuple[str, date], Usage] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Writes every few seconds until the block is left, and once more then."""
        stopping = asyncio.Event()
        writing = asyncio.create_task(self._write_until(stopping))
        try:
            yield
        finally:
            stopping.set()
            await writing

    def requested(self, tenant: str) -> None:
        self.add(Usage(tenant=tenant, day=self.today(), requests=1))

    def add(self, used: Usage) -> None:
        key = used.tenant, used.day
        known = self._used.get(key)
        self._used[key] = used if known is None else known + used

    async def flush(self) -> None:
        """Writes what was added; if the catalog cannot be written, keeps it for the next time."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await asyncio.to_thread(self.book.add, used.values())
        except (StorageError, UnavailableError):
            log.exception("usage of tenants cannot be written; retrying later")
            for each in used.values():
                self.add(each)

    async def _write_until(self, stopping: asyncio.Event) -> None:
        """Stops on request, not by cancellation: a cancelled write may or may not have happened."""
        is_last = False
        while not is_last:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), FLUSH_SECONDS)
            is_last = stopping.is_set()
            await self.flush()
