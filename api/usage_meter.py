"""Who used how much? Added up in memory, and written every few seconds.

A service that is stopped in order writes what it has; one that is killed loses what came in since the last time.
Commands are not counted, only what the service answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from typing import Final

from winnow.api.collections.ingest import Upserted
from winnow.api.search.records import Answer
from winnow.rerank.reranker import Ranking
from winnow.retrieval.catalog.quotas import Usage, UsageBook
from winnow.retrieval.errors import StorageError, UnavailableError

FLUSH_SECONDS: Final = 5.0  # the most that a kill can cost

log = logging.getLogger(__name__)


def _today() -> date:
    return datetime.now(UTC).date()


class UsageMeter:
    """Counts what one process does. Use it from one event loop."""

    def __init__(self, book: UsageBook, *, today: Callable[[], date] = _today) -> None:
        self.book = book
        self._today = today
        self._used: dict[tuple[str, date], Usage] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Writes again and again until the block is left, and then once more."""
        stopping = asyncio.Event()
        writing = asyncio.create_task(self._write_until(stopping))
        try:
            yield
        finally:
            stopping.set()
            await writing

    def requested(self, tenant: str) -> None:
        self._add(self._of(tenant, requests=1))

    def searched(self, tenant: str, answer: Answer) -> None:
        self._add(self._of(tenant, searches=1, embedded_tokens=answer.recalled.embedded_tokens))
        self._judged(tenant, answer.ranking)

    def reranked(self, tenant: str, ranking: Ranking) -> None:
        """Loose documents."""
        self._judged(tenant, ranking)

    def wrote(self, tenant: str, upserted: Upserted) -> None:
        self._add(
            self._of(
                tenant,
                embedded_tokens=upserted.tokens,
                documents_written=upserted.accepted - upserted.unchanged,
                bytes_written=upserted.bytes,
            )
        )

    async def flush(self) -> None:
        """Writes what was counted; where that cannot be done now it is kept for the next time."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await asyncio.to_thread(self.book.add, used.values())
        except (StorageError, UnavailableError):
            log.exception("what tenants used cannot be written; it is tried again")
            for each in used.values():
                self._add(each)

    def _judged(self, tenant: str, ranking: Ranking) -> None:
        self._add(
            self._of(
                tenant,
                rerank_documents=ranking.judged - ranking.remembered,
                rerank_remembered=ranking.remembered,
                rerank_tokens=ranking.tokens,
            )
        )

    def _of(self, tenant: str, **amounts: int) -> Usage:
        return Usage(tenant=tenant, day=self._today(), **amounts)

    def _add(self, used: Usage) -> None:
        key = used.tenant, used.day
        known = self._used.get(key)
        self._used[key] = used if known is None else known + used

    async def _write_until(self, stopping: asyncio.Event) -> None:
        """Not cancelled but told to stop: a write that is cut off may or may not have happened."""
        is_last = False
        while not is_last:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), FLUSH_SECONDS)
            is_last = stopping.is_set()
            await self.flush()
