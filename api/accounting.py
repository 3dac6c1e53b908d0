"""Charges tenants for what their requests compute: usage, the token quota and the figures behind the metrics.

    async with accounting.admitted(tenant) as bill:    # api/http/auth.py, around every metered request
        ...
        bill.add(answer)                               # a route that costs

Rule 1: a route adds what it computed to the bill of its request, and nothing else charges a tenant. Rule 2: what is on
the bill is charged even if the request fails afterwards. Replays that the service makes itself have a bill, but are no
requests. Commands and shadows have no bill: they are not charged.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TypeAlias

from winnow.api.collections.ingest import Upserted
from winnow.api.search.records import Answer, Highlighted
from winnow.api.search.trial import Trial
from winnow.api.stability.replay import Watcher
from winnow.api.tenancy.quotas import Quotas
from winnow.api.usage_meter import UsageMeter
from winnow.rerank.reranker import Ranking
from winnow.retrieval.catalog.quotas import Usage
from winnow.retrieval.tenancy import TenantName

Costly: TypeAlias = Answer | Trial | Ranking | Highlighted | Upserted | Usage  # what a model computed something for


class Bill:
    """What one request has computed so far."""

    def __init__(self, charge: Callable[[Costly], Awaitable[None]]) -> None:
        self._charge = charge
        self._charged = 0
        self.items: list[Costly] = []

    def add(self, item: Costly) -> None:
        self.items.append(item)

    async def settle(self) -> None:
        """Charge what was added since the last time, so that the quota applies to a long request as it goes."""
        while self._charged < len(self.items):
            self._charged += 1
            await self._charge(self.items[self._charged - 1])


@dataclass(slots=True)
class RerankFigures:
    """What rerankers did for the answers of this process; only grows."""

    tokens: int = 0  # computed
    computed: int = 0  # relevance scores
    remembered: int = 0  # relevance scores from the cache

    def add(self, used: Usage) -> None:
        self.tokens += used.rerank_tokens
        self.computed += used.rerank_documents
        self.remembered += used.rerank_remembered


class Accounting:
    """Lets requests in and charges their bills. Use it from one event loop."""

    def __init__(self, *, meter: UsageMeter, quotas: Quotas) -> None:
        self._meter = meter
        self._quotas = quotas
        self.figures = RerankFigures()

    @asynccontextmanager
    async def admitted(self, tenant: TenantName) -> AsyncIterator[Bill]:
        """For as long as a request is answered; its bill is charged at the end. Raises `QuotaExceeded`."""
        async with self._quotas.admitted(tenant):
            self._meter.requested(tenant)
            bill = Bill(partial(self._charge, tenant))
            try:
                yield bill
            finally:
                await bill.settle()

    @asynccontextmanager
    async def replaying(self, tenant: TenantName) -> AsyncIterator[Watcher]:
        """Charge the searches of a replay that the service makes itself. It is no request, and needs no admission."""
        bill = Bill(partial(self._charge, tenant))
        try:
            yield Watcher(
                before_each=bill.settle,
                after_each=lambda answer: bill.add(usage_of(answer, tenant=tenant, day=self._meter.today())),
            )
        finally:
            await bill.settle()

    async def _charge(self, tenant: TenantName, item: Costly) -> None:
        used = usage_of(item, tenant=tenant, day=self._meter.today())
        self._meter.add(used)
        self.figures.add(used)
        await self._quotas.spend_tokens(tenant, used.rerank_tokens)


def usage_of(item: Costly, *, tenant: TenantName, day: date) -> Usage:
    """What a tenant is charged for this."""
    match item:
        case Usage():  # of one of many answers in a request, which would hold all their texts until it ends
            return item
        case Answer():
            sentences = () if item.highlights is None else item.highlights.found.rankings
            embedded = item.recalled.embedded_tokens
            return _reranked(
                tenant, day, item.ranking, *sentences, searches=item.recalled.queries, embedded_tokens=embedded
            )
        case Trial():
            rankings = [column.ranking for column in item.columns]
            return _reranked(tenant, day, *rankings, embedded_tokens=item.recalled.embedded_tokens)
        case Ranking():
            return _reranked(tenant, day, item)
        case Highlighted():
            return _reranked(tenant, day, *item.found.rankings)
        case Upserted():
            return Usage(
                tenant=tenant,
                day=day,
                embedded_tokens=item.tokens,
                documents_written=item.accepted - item.unchanged,
                bytes_written=item.bytes,
            )


def _reranked(tenant: TenantName, day: date, *rankings: Ranking, searches: int = 0, embedded_tokens: int = 0) -> Usage:
    return Usage(
        tenant=tenant,
        day=day,
        searches=searches,
        rerank_documents=sum(each.judged - each.remembered for each in rankings),
        rerank_remembered=sum(each.remembered for each in rankings),
        rerank_tokens=sum(each.tokens for each in rankings),
        embedded_tokens=embedded_tokens,
    )
