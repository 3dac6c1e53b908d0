"""Whose turn is it? Start-time fair queueing between tenants, in tokens. Pure: no clock, no tasks.

Every tenant has a place in virtual time: the tokens that it was served, divided by its weight. The tenant that is least
far goes next, first come first served within it. So those that always have something waiting are served by their
weights, to within one item, however much each of them sends.

Rule 1: who comes back after a pause may not make up for it: it starts at most `credit` behind the front. That much it
is let ahead, so that a small request is served as a whole, and not every other time beside a flood. Within the first
quarter of it the first to come is served first: by turns, all small requests would end late.
Rule 2: something is served whenever something waits. Rule 3: what is given up costs its tenant nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

PRESENCE_TIMES: Final = 64  # what a tenant was served; at a 64th of all or more it is always present


@dataclass(eq=False, slots=True, kw_only=True)
class Waiting:
    """One thing that waits; compared by identity."""

    tenant: str
    tokens: int
    number: int  # counts up as they come


@dataclass(slots=True)
class _Account:
    """Where a tenant stands."""

    weight: float
    start: float  # virtual time at which its next item starts
    waiting: OrderedDict[int, Waiting] = field(default_factory=OrderedDict)
    in_hand: int = 0  # items that were taken and are not done
    served: int = 0  # tokens
    seen_at: int = 0  # tokens that all tenants together had been served when it last was


class FairQueue:
    """What waits, in the order in which it is fair to serve it.

    `credit` is in tokens of a tenant of weight 1. A tenant counts as present until, since it had anything here, others
    have been served `presence` tokens, or `PRESENCE_TIMES` as much as itself: who asks for next to nothing (a probe) is
    not reckoned with for long.
    """

    def __init__(self, *, credit: int = 0, presence: int = 0) -> None:
        self._credit = credit
        self._presence = presence
        self._accounts: OrderedDict[str, _Account] = OrderedDict()  # the least recently seen first
        self._back = 0.0  # virtual time: `credit` behind the latest start that was served; who comes starts here
        self._furthest = 0.0  # the latest end that was served
        self._served = 0  # tokens
        self._numbers = 0
        self._waiting = 0  # items
        self._in_hand = 0  # items

    def __len__(self) -> int:
        return self._waiting

    def is_shared_with(self, tenant: str) -> bool:
        """Whether another tenant is present."""
        return len(self._accounts) > (tenant in self._accounts)

    def put(self, tenant: str, tokens: int, *, weight: float = 1.0) -> Waiting:
        """At the end of its tenant's own line."""
        assert tokens >= 0, "nothing gives tokens back. This is a bug."
        assert weight > 0, "a tenant of no weight would wait for ever. This is a bug."
        account = self._accounts.get(tenant)
        if account is None:
            account = self._accounts[tenant] = _Account(weight=weight, start=self._back)
        if not account.waiting:
            account.start = max(account.start, self._back)
        account.weight = weight
        self._numbers += 1
        item = Waiting(tenant=tenant, tokens=tokens, number=self._numbers)
        account.waiting[item.number] = item
        self._waiting += 1
        self._see(tenant, account)
        return item

    def first(self) -> Waiting | None:
        """What is to be served next; None where nothing waits."""
        far_behind = self._back + self._credit / 4
        heads = (
            (max(account.start, far_behind), next(iter(account.waiting.values())))
            for account in self._accounts.values()
            if account.waiting
        )
        best = min(heads, key=lambda head: (head[0], head[1].number), default=None)
        return None if best is None else best[1]

    def take(self) -> Waiting:
        """Serves the first. Say `done` when it is no longer in hand."""
        item = self.first()
        assert item is not None, "nothing waits. This is a bug."
        account = self._accounts[item.tenant]
        del account.waiting[item.number]
        account.in_hand += 1
        self._waiting -= 1
        self._in_hand += 1
        self._served += item.tokens
        account.served += item.tokens
        self._back = max(self._back, account.start - self._credit)
        account.start += item.tokens / account.weight
        self._furthest = max(self._furthest, account.start)
        self._see(item.tenant, account)
        self._forget()
        return item

    def done(self, item: Waiting) -> None:
        """It was taken, and is finished or given up."""
        account = self._accounts[item.tenant]
        account.in_hand -= 1
        self._in_hand -= 1
        self._see(item.tenant, account)
        self._settle()

    def drop(self, item: Waiting) -> None:
        """It is no longer wanted, and was not taken."""
        account = self._accounts[item.tenant]
        del account.waiting[item.number]
        self._waiting -= 1
        self._settle()

    def _settle(self) -> None:
        """When nothing is left all are equal again: who was served last owes nobody anything."""
        if not self._waiting and not self._in_hand:
            self._back = self._furthest
        self._forget()

    def _see(self, tenant: str, account: _Account) -> None:
        account.seen_at = self._served
        self._accounts.move_to_end(tenant)

    def _forget(self) -> None:
        """Tenants that were not seen for long, so that memory is bounded by what is served and not by who ever came."""
        while self._accounts:
            tenant, account = next(iter(self._accounts.items()))
            is_busy = account.waiting or account.in_hand
            is_ahead = account.start > self._back  # forgotten, it would be further back
            presence = min(self._presence, PRESENCE_TIMES * account.served)
            if is_busy or is_ahead or self._served - account.seen_at < presence:
                return
            del self._accounts[tenant]
