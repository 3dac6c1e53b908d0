"""Admission control: bounds what all tenants hold together, and shares it between them.

One tenant may hold up to `OWN_PER_FREE` times the free room: three quarters while it is alone, less as it fills up. So
floods cannot take the last slot, and a tenant that holds nothing is refused only if there is no room at all.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from winnow.retrieval.errors import Overloaded
from winnow.retrieval.limits import REQUESTS_IN_FLIGHT_MAX

OWN_PER_FREE: Final = 3  # times the free room


class Room:
    """Counts what tenants hold, such as requests or bytes. Belongs to one event loop."""

    def __init__(self, most: int, *, what: str) -> None:
        """`what` completes "256 ..." in refusals."""
        self._most = most
        self._what = what
        self._held: Counter[str] = Counter()
        self._given_back = asyncio.Event()

    @property
    def held(self) -> int:
        return self._held.total()

    def take(self, tenant: str, amount: int = 1) -> None:
        """Take room. Raises `Overloaded`."""
        held, own = self.held, self._held[tenant]
        if held + amount > self._most:
            raise Overloaded(f"{held} {self._what}; the limit is {self._most}. Retry later")
        if own and own + amount > OWN_PER_FREE * (self._most - held - amount):
            raise Overloaded(f"{own} {self._what} for this tenant, which is its share. Retry later")
        self._held[tenant] += amount

    async def wait(self, tenant: str, amount: int, *, seconds: float) -> None:
        """Take room as soon as it is free. Raises `Overloaded` if there is none in time."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            try:
                return self.take(tenant, amount)
            except Overloaded as error:
                refused = error
            self._given_back.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._given_back.wait()
            except TimeoutError:
                raise refused from None

    def give_back(self, tenant: str, amount: int = 1) -> None:
        self._held[tenant] -= amount
        assert self._held[tenant] >= 0, "more was given back than taken. This is a bug."
        if not self._held[tenant]:
            del self._held[tenant]
        self._given_back.set()

    @contextmanager
    def holding(self, tenant: str, amount: int = 1) -> Iterator[None]:
        """Hold room during the block. Raises `Overloaded`."""
        self.take(tenant, amount)
        try:
            yield
        finally:
            self.give_back(tenant, amount)


class Gate:
    """The slots of requests in progress. None is held while a body is read or an answer is sent."""

    def __init__(self, *, in_flight_max: int = REQUESTS_IN_FLIGHT_MAX) -> None:
        self._places = Room(in_flight_max, what="requests are being answered")

    @asynccontextmanager
    async def held(self, tenant: str) -> AsyncIterator[None]:
        """Hold a slot. Raises `Overloaded`."""
        with self._places.holding(tenant):
            yield
