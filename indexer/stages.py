"""Runs windows through three stages at once: one is read, some are embedded, one is committed.

Rule 1: windows are committed in the order in which they were read, one at a time.
Rule 2: a failure is raised when all earlier windows are committed, so if two stages fail, the error is that of the
earlier window. Only a failed commit is raised at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from winnow.retrieval.concurrency.tasks import finish

Prepared = TypeVar("Prepared")
Embedded = TypeVar("Embedded")


async def run_stages(
    read: Callable[[], Awaitable[Prepared | None]],
    embed: Callable[[Prepared], Awaitable[Embedded]],
    commit: Callable[[Embedded], Awaitable[None]],
    *,
    embedded_max: int,
    stop_reading: Callable[[], None],
) -> None:
    """Read until None, embed up to `embedded_max` windows at once, and commit all of them.

    If this is cancelled, the commit in progress is finished and all other windows are dropped.
    """
    line = _Line(read=read, embed=embed, commit=commit, embedded_max=embedded_max)
    try:
        await line.run()
    finally:
        stop_reading()
        await line.close()


@dataclass(slots=True, kw_only=True)
class _Line(Generic[Prepared, Embedded]):
    read: Callable[[], Awaitable[Prepared | None]]
    embed: Callable[[Prepared], Awaitable[Embedded]]
    commit: Callable[[Embedded], Awaitable[None]]
    embedded_max: int
    reading: asyncio.Task[Prepared | None] | None = None  # None at the end of the corpus
    embedding: deque[asyncio.Task[Embedded]] = field(default_factory=deque)  # in order; the first ones may be done
    committing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        self.reading = _task(self.read())
        while self.reading or self.embedding or self.committing:
            await self._wait()
            if self.committing and self.committing.done():
                done, self.committing = self.committing, None
                done.result()
            if self.embedding and self.embedding[0].done() and not self.committing:
                self.committing = _task(self.commit(self.embedding.popleft().result()))
            if self.reading and self.reading.done() and self._may_take():
                self._take(self.reading.result())

    async def close(self) -> None:
        """End what still runs: drop what is read and embedded, finish the commit."""
        dropped: list[asyncio.Task[Any]] = [*self.embedding, *([self.reading] if self.reading else [])]
        for task in dropped:
            task.cancel()
        if self.embedding:
            await asyncio.wait(self.embedding)
        for task in dropped:
            if task.done() and not task.cancelled():
                task.exception()  # it is known, whichever error is raised
        if self.committing:
            await finish(self.committing)

    async def _wait(self) -> None:
        """Wait until a stage can go on."""
        if self.embedding and self.embedding[0].done() and not self.committing:
            return
        ends: set[asyncio.Task[Any]] = set()
        if self.committing:
            ends.add(self.committing)
        if self.embedding and not self.embedding[0].done():
            ends.add(self.embedding[0])
        if self.reading and self._has_room() and not (self.reading.done() and not self._may_take()):
            ends.add(self.reading)
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)

    def _has_room(self) -> bool:
        return len(self.embedding) < self.embedded_max

    def _may_take(self) -> bool:
        """Whether what was read may be looked at: a failure only after all earlier windows were committed."""
        assert self.reading is not None, "there is something to take. This is a bug."
        failed = self.reading.cancelled() or self.reading.exception() is not None
        return self._has_room() and not (failed and (self.embedding or self.committing))

    def _take(self, prepared: Prepared | None) -> None:
        if prepared is None:
            self.reading = None
            return
        self.reading = _task(self.read())
        self.embedding.append(_task(self.embed(prepared)))


def _task(work: Awaitable[Any]) -> asyncio.Task[Any]:
    return asyncio.ensure_future(work)
