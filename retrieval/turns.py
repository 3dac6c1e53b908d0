"""Who may go on now? Tenants take turns at something that does a bounded amount at once, counted in tokens.

What waits here can still be given up for nothing: a caller that is cancelled, or whose deadline passes, leaves its
place at once, and nobody notices.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from retrieval.fair_queue import FairQueue, Waiting

Turn: TypeAlias = Callable[[int], AbstractAsyncContextManager[None]]  # for so many tokens: wait for it, and hold it

CREDIT_TOKENS: Final = 32_768  # a request of 100 passages of 256 tokens is served as a whole beside a flood
PRESENCE_TOKENS: Final = 262_144  # tokens; a minute of two cores, some seconds of a large GPU


def equal(_: str) -> float:
    """The weight of every tenant where nobody says otherwise."""
    return 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnsReport:
    """What an operator may want to know; the totals only grow."""

    turns: int
    wait_seconds: float  # of all turns together


class Turns:
    """Use it from one event loop.

    While one tenant is alone `alone` tokens are in hand at once, so that what works never idles; while others are
    present only `shared`, because what is in hand is what they wait for. Something larger goes by itself.
    """

    def __init__(self, *, alone: int, shared: int, weight_of: Callable[[str], float] = equal) -> None:
        assert alone >= shared, "company makes nothing faster. This is a bug."
        self._alone = alone
        self._shared = shared
        self._weight_of = weight_of
        self._queue = FairQueue(credit=CREDIT_TOKENS, presence=PRESENCE_TOKENS)
        self._granted: dict[Waiting, asyncio.Future[None]] = {}
        self._in_hand = 0  # tokens
        self._held = 0  # turns, of which some may be for no token at all
        self._turns = 0
        self._wait_seconds = 0.0

    def is_shared_with(self, tenant: str) -> bool:
        """Whether others than this one are present: have something here, or had a short while ago."""
        return self._queue.is_shared_with(tenant)

    @property
    def report(self) -> TurnsReport:
        return TurnsReport(turns=self._turns, wait_seconds=self._wait_seconds)

    @asynccontextmanager
    async def turn(self, tenant: str, tokens: int) -> AsyncIterator[None]:
        """Waits for it; it lasts as long as the block."""
        began = time.monotonic()
        item = self._queue.put(tenant, tokens, weight=self._weight_of(tenant))
        granted = self._granted[item] = asyncio.get_running_loop().create_future()
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            self._give_up(item)
            raise
        self._turns += 1
        self._wait_seconds += time.monotonic() - began
        try:
            yield
        finally:
            self._end(item)

    def _grant(self) -> None:
        """To as many as there is room for."""
        while (item := self._queue.first()) is not None:
            room = self._shared if self._queue.is_shared_with(item.tenant) else self._alone
            if self._held and self._in_hand + item.tokens > room:
                return
            self._queue.take()
            self._in_hand += item.tokens
            self._held += 1
            granted = self._granted.pop(item)
            if not granted.done():  # else its caller was cancelled just now, and is about to give it up
                granted.set_result(None)

    def _give_up(self, item: Waiting) -> None:
        """The caller was cancelled: before its turn, or just when it had been given one."""
        if self._granted.pop(item, None) is None:
            self._end(item)
            return
        self._queue.drop(item)
        self._grant()

    def _end(self, item: Waiting) -> None:
        self._in_hand -= item.tokens
        self._held -= 1
        self._queue.done(item)
        self._grant()
