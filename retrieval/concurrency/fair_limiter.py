"""Who may go on now? Tenants take turns at something that does a bounded amount at once, counted in tokens.

What waits here can still be given up for nothing: a caller that is cancelled, or whose deadline passes, leaves its
place at once, and nobody notices.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from winnow.retrieval.concurrency.fair_queue import FairQueue, Waiting

Turn: TypeAlias = Callable[[int], AbstractAsyncContextManager[None]]  # for so many tokens: wait for it, and hold it

CREDIT_TOKENS: Final = 32_768  # a request of 100 passages of 256 tokens is served as a whole beside a flood
PRESENCE_TOKENS: Final = 262_144  # tokens; a minute of two cores, some seconds of a large GPU
_PACE_SECONDS_MIN: Final = 1.0  # that something was in hand; before, nobody knows how fast it goes
_PACE_SECONDS_MAX: Final = 10.0  # that are remembered whole


def equal(_: str) -> float:
    """The weight of every tenant where nobody says otherwise."""
    return 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterStats:
    """What an operator may want to know; the totals only grow."""

    turns: int
    wait_seconds: float  # of all turns together


class _Pace:
    """How many tokens go through in a second, lately, while something is in hand."""

    def __init__(self) -> None:
        self._tokens = 0.0
        self._seconds = 0.0
        self._since = 0.0

    def begin(self, now: float) -> None:
        """Something is in hand again."""
        self._since = now

    def end(self, tokens: int, now: float) -> None:
        """So many tokens no longer are."""
        self._tokens += tokens
        self._seconds += now - self._since
        self._since = now
        if self._seconds > _PACE_SECONDS_MAX:
            self._tokens, self._seconds = self._tokens / 2, self._seconds / 2

    def tokens_in(self, seconds: float) -> float:
        """Infinitely many where too little is known."""
        if self._seconds < _PACE_SECONDS_MIN or math.isinf(seconds):
            return math.inf
        return self._tokens / self._seconds * seconds


class FairLimiter:
    """Use it from one event loop.

    While one tenant is alone `alone` tokens are in hand at once, so that what works never idles; while others are
    present only `shared`, because what is in hand is what they wait for: no more than go through in `seconds`, but
    `least` in any case. Something larger goes by itself.
    """

    def __init__(
        self,
        *,
        alone: int,
        shared: int,
        least: int = 0,
        seconds: float = math.inf,
        weight_of: Callable[[str], float] = equal,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        assert alone >= shared >= least, "company makes nothing faster. This is a bug."
        self._alone = alone
        self._shared = shared
        self._least = least
        self._seconds = seconds
        self._weight_of = weight_of
        self._clock = clock
        self._pace = _Pace()
        self._queue = FairQueue(credit=CREDIT_TOKENS, presence=PRESENCE_TOKENS)
        self._granted: dict[Waiting, asyncio.Future[None]] = {}
        self._in_hand = 0  # tokens
        self._held = 0  # turns, of which some may be for no token at all
        self._turns = 0
        self._wait_seconds = 0.0

    @property
    def shared_tokens(self) -> int:
        """In hand at once while several tenants are present; follows the pace."""
        return int(min(self._shared, max(self._least, self._pace.tokens_in(self._seconds))))

    def is_shared_with(self, tenant: str) -> bool:
        """Whether others than this one are present: have something here, or had a short while ago."""
        return self._queue.is_shared_with(tenant)

    @property
    def report(self) -> LimiterStats:
        return LimiterStats(turns=self._turns, wait_seconds=self._wait_seconds)

    @asynccontextmanager
    async def turn(self, tenant: str, tokens: int) -> AsyncIterator[None]:
        """Waits for it; it lasts as long as the block."""
        began = self._clock()
        item = self._queue.put(tenant, tokens, weight=self._weight_of(tenant))
        granted = self._granted[item] = asyncio.get_running_loop().create_future()
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            self._give_up(item)
            raise
        self._turns += 1
        self._wait_seconds += self._clock() - began
        try:
            yield
        finally:
            self._end(item)

    def _grant(self) -> None:
        """To as many as there is room for."""
        while (item := self._queue.first()) is not None:
            room = self.shared_tokens if self._queue.is_shared_with(item.tenant) else self._alone
            if self._held and self._in_hand + item.tokens > room:
                return
            self._queue.take()
            if not self._held:
                self._pace.begin(self._clock())
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
        self._pace.end(item.tokens, self._clock())
        self._queue.done(item)
        self._grant()
