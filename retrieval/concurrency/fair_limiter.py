"""Fair admission: tenants take turns at work of bounded parallelism, counted in tokens.

Waiting work can be abandoned without cost: a caller that is cancelled, or whose deadline passes, leaves its place at
once, without effect on others.
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
from winnow.retrieval.tracing import step

Turn: TypeAlias = Callable[[int], AbstractAsyncContextManager[None]]  # waits for a turn of so many tokens and holds it

CREDIT_TOKENS: Final = 32_768  # serves a request of 100 passages of 256 tokens as a whole during a flood
PRESENCE_TOKENS: Final = 262_144  # tokens; a minute on two cores, some seconds on a large GPU
_PACE_SECONDS_MIN: Final = 1.0  # seconds of work before the pace is known
_PACE_SECONDS_MAX: Final = 10.0  # seconds that are remembered in full


def equal(_: str) -> float:
    """Return the default weight of every tenant."""
    return 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterStats:
    """Statistics for operators; the totals only increase."""

    turns: int
    wait_seconds: float  # of all turns together


class _Pace:
    """The recent throughput, in tokens per second of work."""

    def __init__(self) -> None:
        self._tokens = 0.0
        self._seconds = 0.0
        self._since = 0.0

    def begin(self, now: float) -> None:
        """Work starts after a pause."""
        self._since = now

    def end(self, tokens: int, now: float) -> None:
        """Work of this many tokens has ended."""
        self._tokens += tokens
        self._seconds += now - self._since
        self._since = now
        if self._seconds > _PACE_SECONDS_MAX:
            self._tokens, self._seconds = self._tokens / 2, self._seconds / 2

    def tokens_in(self, seconds: float) -> float:
        """Return the expected tokens in this time; infinite while the pace is unknown."""
        if self._seconds < _PACE_SECONDS_MIN or math.isinf(seconds):
            return math.inf
        return self._tokens / self._seconds * seconds


class FairLimiter:
    """Limits work in progress, fairly between tenants. Must be used from one event loop.

    A tenant that is alone may have `alone` tokens in progress, so the workers never idle. While others are present the
    limit is `shared`, because work in progress is what they wait for: no more than is processed in `seconds`, but at
    least `least`. A larger item runs by itself.
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
        assert alone >= shared >= least, "alone >= shared >= least. This is a bug."
        self._alone = alone
        self._shared = shared
        self._least = least
        self._seconds = seconds
        self._weight_of = weight_of
        self._clock = clock
        self._pace = _Pace()
        self._queue = FairQueue(credit=CREDIT_TOKENS, presence=PRESENCE_TOKENS)
        self._granted: dict[Waiting, asyncio.Future[None]] = {}
        self._in_hand = 0  # tokens in progress
        self._held = 0  # turns in progress; some may have no tokens
        self._turns = 0
        self._wait_seconds = 0.0

    @property
    def shared_tokens(self) -> int:
        """Tokens in progress at once while several tenants are present; follows the pace."""
        return int(min(self._shared, max(self._least, self._pace.tokens_in(self._seconds))))

    def is_shared_with(self, tenant: str) -> bool:
        """Whether other tenants are present: they have work here, or had some recently."""
        return self._queue.is_shared_with(tenant)

    @property
    def report(self) -> LimiterStats:
        return LimiterStats(turns=self._turns, wait_seconds=self._wait_seconds)

    @asynccontextmanager
    async def turn(self, tenant: str, tokens: int) -> AsyncIterator[None]:
        """Wait for a turn, and hold it during the block."""
        began = self._clock()
        item = self._queue.put(tenant, tokens, weight=self._weight_of(tenant))
        granted = self._granted[item] = asyncio.get_running_loop().create_future()
        self._grant()
        try:
            if not granted.done():
                with step("wait"):
                    await granted
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
        """Grant turns while there is room."""
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
            if not granted.done():  # otherwise its caller was just cancelled and is about to give it up
                granted.set_result(None)

    def _give_up(self, item: Waiting) -> None:
        """Handle a cancelled caller: before its turn, or just when it was granted one."""
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
