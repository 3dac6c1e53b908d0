"""May this tenant ask for this now? Its limits, read anew every second, and what it has used of them.

Requests and tokens are counted by this process for itself, so that with several processes behind one address a tenant
may have up to as many times as much. Documents and bytes are counted where they lie, and reserved
before they are written (api/collections/storage_room.py). What a request costs in tokens is
known only when it has been answered: it is let in while anything is left, and waited for afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, NoReturn

from winnow.retrieval.catalog.quotas import Held, Limit, LimitBook, TenantLimits
from winnow.retrieval.concurrency.token_bucket import TokenBucket
from winnow.retrieval.errors import QuotaExceeded, StorageError, StorageQuotaExceeded, UnavailableError

REFRESH_SECONDS: Final = 1.0  # after which a change of limits is known everywhere
STORED: Final = (Limit.DOCUMENTS, Limit.BYTES)  # the limits of what lies on the disk
BUSY_RETRY_SECONDS: Final = 1  # until one of a tenant's requests may have ended

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Used:
    """What a tenant has used, as far as this process knows."""

    requests: TokenBucket = field(default_factory=TokenBucket)
    tokens: TokenBucket = field(default_factory=TokenBucket)
    running: int = 0  # requests


class Quotas:
    """Lets tenants in, or refuses them by the name of a limit. Use it from one event loop."""

    def __init__(self, book: LimitBook, defaults: TenantLimits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._book = book
        self._defaults = defaults
        self._clock = clock
        self._own: Mapping[str, TenantLimits] = {}
        self._read_at = -math.inf
        self._reading = asyncio.Lock()
        self._used: dict[str, _Used] = {}
        self.refused: Counter[Limit] = Counter(dict.fromkeys(Limit, 0))  # only grows

    def weight_of(self, tenant: str) -> float:
        """How large its share of the reranker is, as far as is known."""
        own = self._own.get(tenant)
        weight = self._defaults.weight if own is None or own.weight is None else own.weight
        return 1.0 if weight is None else weight

    async def limits_of(self, tenant: str) -> TenantLimits:
        """At most a second old, but older where the catalog cannot be read: searches do not end with it."""
        if self._clock() - self._read_at > REFRESH_SECONDS:
            async with self._reading:
                if self._clock() - self._read_at > REFRESH_SECONDS:
                    await self._read()
        own = self._own.get(tenant)
        return self._defaults if own is None else own.over(self._defaults)

    @asynccontextmanager
    async def admitted(self, tenant: str) -> AsyncIterator[None]:
        """For as long as a request is answered. Raises `QuotaExceeded`."""
        limits = await self.limits_of(tenant)
        used = self._used.setdefault(tenant, _Used())
        at_once = limits.of(Limit.CONCURRENT)
        if at_once is not None and used.running >= at_once:
            self._refuse(Limit.CONCURRENT, f"{used.running} are being answered; {at_once} may", BUSY_RETRY_SECONDS)
        per_minute = limits.of(Limit.REQUESTS)
        if per_minute is not None:
            now = self._clock()
            wait = used.requests.wait_seconds(1, per_minute=per_minute, now=now)
            if wait:
                self._refuse(Limit.REQUESTS, f"{per_minute} a minute", wait)
            used.requests.spend(1, per_minute=per_minute, now=now)
        used.running += 1
        try:
            yield
        finally:
            used.running -= 1

    async def require_tokens(self, tenant: str) -> None:
        """Before something is judged. Raises `QuotaExceeded` where the tenant has no tokens left."""
        per_minute = (await self.limits_of(tenant)).of(Limit.TOKENS)
        if per_minute is None:
            return
        used = self._used.setdefault(tenant, _Used())
        wait = used.tokens.wait_seconds(1, per_minute=per_minute, now=self._clock())
        if wait:
            self._refuse(Limit.TOKENS, f"{per_minute} a minute", wait)

    async def spend_tokens(self, tenant: str, tokens: int) -> None:
        """After something was judged."""
        per_minute = (await self.limits_of(tenant)).of(Limit.TOKENS)
        if per_minute is not None:
            used = self._used.setdefault(tenant, _Used())
            used.tokens.spend(tokens, per_minute=per_minute, now=self._clock())

    def require_stored(self, held: Held, limits: TenantLimits) -> None:
        """For what a tenant would have. Raises `StorageQuotaExceeded`."""
        for limit in STORED:
            most, wanted = limits.of(limit), held.of(limit)
            if most is not None and wanted > most:
                self.refused[limit] += 1
                raise StorageQuotaExceeded(f"with this there would be {wanted} {limit}; {most} may be", limit=limit)

    def _refuse(self, limit: Limit, said: str, wait_seconds: float) -> NoReturn:
        self.refused[limit] += 1
        raise QuotaExceeded(f"{limit}: {said}", limit=limit, retry_after_seconds=max(1, math.ceil(wait_seconds)))

    async def _read(self) -> None:
        try:
            self._own = await asyncio.to_thread(self._book.limits)
        except (StorageError, UnavailableError):
            log.exception("the limits of tenants cannot be read; those known before hold on")
        self._read_at = self._clock()
