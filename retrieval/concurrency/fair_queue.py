"""Start-time fair queueing between tenants, in tokens. Pure: no clock, no tasks.

Every tenant has a position in virtual time: the tokens it was served, divided by its weight. The tenant furthest behind
is served next, first come first served within it. So tenants that always have work waiting are served by their weights,
to within one item, however much each of them sends.

Rule 1: an idle tenant gains at most `credit` tokens: it restarts at most that far behind the front. So a small request
is served as a whole, and not every other time during a flood. Within the first quarter of the credit the order is first
come, first served: in turns, all small requests would end late.
Rule 2: something is served whenever something waits. Rule 3: abandoned work costs its tenant nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

PRESENCE_TIMES: Final = 64  # times a tenant's own served tokens; with a 64th of all or more it is always present


@dataclass(eq=False, slots=True, kw_only=True)
class Waiting:
    """One waiting item; compared by identity."""

    tenant: str
    tokens: int
    number: int  # ascending in order of arrival


@dataclass(slots=True)
class _Account:
    """The state of a tenant."""

    weight: float
    start: float  # virtual time at which its next item starts
    waiting: OrderedDict[int, Waiting] = field(default_factory=OrderedDict)
    in_hand: int = 0  # items taken but not done
    served: int = 0  # tokens
    seen_at: int = 0  # tokens served to all tenants when it was last seen


class FairQueue:
    """The waiting items, in fair order.

    `credit` is in tokens of a tenant of weight 1. A tenant counts as present until others have been served `presence`
    tokens since its last activity, or `PRESENCE_TIMES` as much as itself: a tenant that asks for next to nothing (a
    probe) soon no longer counts.
    """

    def __init__(self, *, credit: int = 0, presence: int = 0) -> None:
        self._credit = credit
        self._presence = presence
        self._accounts: OrderedDict[str, _Account] = OrderedDict()  # least recently seen first
        self._back = 0.0  # virtual time: `credit` behind the latest served start; newcomers start here
        self._furthest = 0.0  # the latest served end
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
        """Append an item to its tenant's own queue."""
        assert tokens >= 0, "tokens are never negative. This is a bug."
        assert weight > 0, "a tenant without weight would wait for ever. This is a bug."
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
        """Return the item to serve next, or None."""
        far_behind = self._back + self._credit / 4
        heads = (
            (max(account.start, far_behind), next(iter(account.waiting.values())))
            for account in self._accounts.values()
            if account.waiting
        )
        best = min(heads, key=lambda head: (head[0], head[1].number), default=None)
        return None if best is None else best[1]

    def take(self) -> Waiting:
        """Take the first item. Call `done` when its work has ended."""
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
        """End an item that was taken, whether finished or abandoned."""
        account = self._accounts[item.tenant]
        account.in_hand -= 1
        self._in_hand -= 1
        self._see(item.tenant, account)
        self._settle()

    def drop(self, item: Waiting) -> None:
        """Remove an item that was not taken and is no longer wanted."""
        account = self._accounts[item.tenant]
        del account.waiting[item.number]
        self._waiting -= 1
        self._settle()

    def _settle(self) -> None:
        """Equalise all tenants once nothing is left: past service is no debt then."""
        if not self._waiting and not self._in_hand:
            self._back = self._furthest
        self._forget()

    def _see(self, tenant: str, account: _Account) -> None:
        account.seen_at = self._served
        self._accounts.move_to_end(tenant)

    def _forget(self) -> None:
        """Forget tenants not seen for long, so memory is bounded by activity, not by the tenants ever seen."""
        while self._accounts:
            tenant, account = next(iter(self._accounts.items()))
            is_busy = account.waiting or account.in_hand
            is_ahead = account.start > self._back  # forgetting it would move it further back
            presence = min(self._presence, PRESENCE_TIMES * account.served)
            if is_busy or is_ahead or self._served - account.seen_at < presence:
                return
            del self._accounts[tenant]
