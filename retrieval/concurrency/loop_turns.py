"""Lets coroutines begin their work one by one, each in a turn of the event loop of its own.

A turn runs everything that is ready before it looks at the sockets again. Of requests that are answered without
waiting, those of one turn are all answered before the next ones are even read: one that arrives just after that look
waits for two of these rounds, while others go ahead of it. With one request a turn they are read as they arrive and
answered in that order.
"""

from __future__ import annotations

import asyncio
from collections import deque


class LoopTurns:
    """Hands out the turns of the running event loop, first come first served."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_taken = False

    async def take(self) -> None:
        """Return in a turn that no other caller has been given. Does not wait where this one is free."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # what the last one was given ended with it
            self._loop, self._is_taken = loop, False
            self._waiting.clear()
        if not self._is_taken:
            self._is_taken = True
            loop.call_soon(self._hand_on)
            return
        mine = loop.create_future()
        self._waiting.append(mine)
        await mine

    def _hand_on(self) -> None:
        assert self._loop is not None, "a turn was taken. This is a bug."
        while self._waiting:
            following = self._waiting.popleft()
            if not following.done():  # cancelled while it waited
                following.set_result(None)
                self._loop.call_soon(self._hand_on)
                return
        self._is_taken = False
