"""Enforces tenants' limits, which are reread every second in which something was committed to the catalog.

Each process counts requests and tokens for itself, so several processes behind one address allow up to that many times
as much. Documents and bytes are counted on the disk, and reserved before they are written
(api/collections/storage_room.py). The tokens of a request are known only after its answer: a request is admitted while
any are left, and the excess delays later requests.
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

from winnow.retrieval.catalog.quotas import COUNTED_BY, CountedBy, Held, Limit, LimitBook, TenantLimits
from winnow.retrieval.concurrency.token_bucket import TokenBucket
from winnow.retrieval.errors import QuotaExceeded, StorageError, StorageQuotaExceeded, UnavailableError

REFRESH_SECONDS: Final = 1.0  # maximum delay of a change of limits
STORED: Final = tuple(each for each in Limit if COUNTED_BY[each] is CountedBy.ALL)
BUSY_RETRY_SECONDS: Final = 1  # one of the tenant's requests may have ended by then

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Used:
    """A tenant's usage in this process."""

    requests: TokenBucket = field(default_factory=TokenBucket)
    tokens: TokenBucket = field(default_factory=TokenBucket)
    running: int = 0  # requests in progress


class Quotas:
    """Admits tenants' requests, or refuses them naming a limit. Must be used from one event loop."""

    def __init__(
        self,
        book: LimitBook,
        defaults: TenantLimits,
        *,
        clock: Callable[[], float] = time.monotonic,
        catalog_version: Callable[[], int | None] = lambda: None,
    ) -> None:
        """As long as `catalog_version` (that of `SqlDatabase`) stays, limits are not read again."""
        self._book = book
        self._catalog_version = catalog_version
        self._version: int | None = None  # from before the limits were read
        self._defaults = defaults
        self._clock = clock
        self._own: Mapping[str, TenantLimits] = {}
        self._read_at = -math.inf
        self._reading = asyncio.Lock()
        self._used: dict[str, _Used] = {}
        self.refused: Counter[Limit] = Counter(dict.fromkeys(Limit, 0))  # only increases

    def weight_of(self, tenant: str) -> float:
        """Return the weight of its share of the reranker, as far as is known."""
        own = self._own.get(tenant)
        weight = self._defaults.weight if own is None or own.weight is None else own.weight
        return 1.0 if weight is None else weight

    async def limits_of(self, tenant: str) -> TenantLimits:
        """Return the limits, at most a second old; older if the catalog fails, so that searches continue."""
        if not self._is_current():
            async with self._reading:
                if not self._is_current():
                    await self._read()
        own = self._own.get(tenant)
        return self._defaults if own is None else own.over(self._defaults)

    def _is_current(self) -> bool:
        if self._clock() - self._read_at <= REFRESH_SECONDS:
            return True
        return self._version is not None and self._version == self._catalog_version()

    @asynccontextmanager
    async def admitted(self, tenant: str) -> AsyncIterator[None]:
        """Admit a request for the duration of the block. Raises `QuotaExceeded`."""
        limits = await self.limits_of(tenant)
        used = self._used.setdefault(tenant, _Used())
        at_once = limits.of(Limit.CONCURRENT)
        if at_once is not None and used.running >= at_once:
            self._refuse(
                Limit.CONCURRENT, f"{used.running} requests are in progress; the limit is {at_once}", BUSY_RETRY_SECONDS
            )
        per_minute = limits.of(Limit.REQUESTS)
        if per_minute is not None:
            now = self._clock()
            wait = used.requests.wait_seconds(1, per_minute=per_minute, now=now)
            if wait:
                self._refuse(Limit.REQUESTS, f"the limit is {per_minute} per minute", wait)
            used.requests.spend(1, per_minute=per_minute, now=now)
        used.running += 1
        try:
            yield
        finally:
            used.running -= 1

    async def spend_requests(self, tenant: str, requests: int) -> None:
        """Count work beyond that of the request that was admitted; too much delays later requests."""
        per_minute = (await self.limits_of(tenant)).of(Limit.REQUESTS)
        if requests and per_minute is not None:
            used = self._used.setdefault(tenant, _Used())
            used.requests.spend(requests, per_minute=per_minute, now=self._clock())

    async def require_tokens(self, tenant: str) -> None:
        """Check before reranking. Raises `QuotaExceeded` if the tenant has no tokens left."""
        per_minute = (await self.limits_of(tenant)).of(Limit.TOKENS)
        if per_minute is None:
            return
        used = self._used.setdefault(tenant, _Used())
        wait = used.tokens.wait_seconds(1, per_minute=per_minute, now=self._clock())
        if wait:
            self._refuse(Limit.TOKENS, f"the limit is {per_minute} per minute", wait)

    async def tokens_wait(self, tenant: str, *, left: float) -> float:
        """Return the seconds until this share of a minute's tokens is left; 0 if it is, or there is no limit."""
        per_minute = (await self.limits_of(tenant)).of(Limit.TOKENS)
        if per_minute is None:
            return 0.0
        used = self._used.setdefault(tenant, _Used())
        return used.tokens.wait_seconds(left * per_minute, per_minute=per_minute, now=self._clock())

    async def spend_tokens(self, tenant: str, tokens: int) -> None:
        """Count tokens after reranking."""
        per_minute = (await self.limits_of(tenant)).of(Limit.TOKENS)
        if per_minute is not None:
            used = self._used.setdefault(tenant, _Used())
            used.tokens.spend(tokens, per_minute=per_minute, now=self._clock())

    def require_stored(self, held: Held, limits: TenantLimits) -> None:
        """Check what the tenant would store in total. Raises `StorageQuotaExceeded`."""
        for limit in STORED:
            most, wanted = limits.of(limit), held.of(limit)
            if most is not None and wanted > most:
                self.refused[limit] += 1
                raise StorageQuotaExceeded(f"{wanted} {limit} would exceed the limit of {most}", limit=limit)

    def _refuse(self, limit: Limit, said: str, wait_seconds: float) -> NoReturn:
        self.refused[limit] += 1
        raise QuotaExceeded(f"{limit}: {said}", limit=limit, retry_after_seconds=max(1, math.ceil(wait_seconds)))

    async def _read(self) -> None:
        try:
            self._version, self._own = await asyncio.to_thread(lambda: (self._catalog_version(), self._book.limits()))
        except (StorageError, UnavailableError):
            log.exception("the tenants' limits cannot be read; the last known ones stay in force")
        self._read_at = self._clock()
