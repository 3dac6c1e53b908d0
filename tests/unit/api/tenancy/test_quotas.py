"""api/tenancy/quotas.py: who is let in, who is refused by which limit, and how soon a change is known."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack

import pytest

from winnow.api.tenancy.quotas import Quotas
from winnow.retrieval.catalog.quotas import Held, Limit, TenantLimits
from winnow.retrieval.errors import CatalogUnavailable, QuotaExceeded, StorageQuotaExceeded

NONE = TenantLimits()


class Book:
    """Implements `LimitBook` in memory; given a failure it raises that."""

    def __init__(self, **limits: TenantLimits) -> None:
        self.own: dict[str, TenantLimits] = limits
        self.reads = 0
        self.failure: CatalogUnavailable | None = None

    def limits(self) -> Mapping[str, TenantLimits]:
        self.reads += 1
        if self.failure is not None:
            raise self.failure
        return dict(self.own)

    def set_limits(self, tenant: str, limits: TenantLimits) -> None:
        self.own[tenant] = limits


class Clock:
    """Stands still unless it is moved."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def ask(quotas: Quotas, tenant: str) -> None:
    async with quotas.admitted(tenant):
        pass


async def refused(quotas: Quotas, tenant: str) -> QuotaExceeded:
    with pytest.raises(QuotaExceeded) as caught:
        await ask(quotas, tenant)
    return caught.value


async def test_requests_are_let_in_by_the_minute_and_the_wait_is_told() -> None:
    """A minute's worth at once, then one every ten seconds; another tenant has a minute of its own."""
    clock = Clock()
    quotas = Quotas(Book(), TenantLimits(requests_per_minute=6), clock=clock)
    for _ in range(6):
        await ask(quotas, "ant")
    failure = await refused(quotas, "ant")
    assert (failure.limit, failure.retry_after_seconds) == ("requests_per_minute", 10)
    assert "the limit is 6 per minute" in failure.message
    await ask(quotas, "bee")
    clock.now += 9
    assert (await refused(quotas, "ant")).retry_after_seconds == 1
    clock.now += 1
    await ask(quotas, "ant")
    assert quotas.refused[Limit.REQUESTS] == 2
    assert sum(quotas.refused.values()) == 2


async def test_what_is_refused_costs_nothing() -> None:
    """However often somebody is refused, the next request comes when it was said."""
    clock = Clock()
    quotas = Quotas(Book(), TenantLimits(requests_per_minute=1), clock=clock)
    await ask(quotas, "ant")
    for _ in range(50):
        await refused(quotas, "ant")
    clock.now += 60
    await ask(quotas, "ant")


async def test_so_many_at_once_and_no_more() -> None:
    """Whoever ends makes room, in whatever way it ends."""
    quotas = Quotas(Book(bee=TenantLimits(concurrent_requests=0)), TenantLimits(concurrent_requests=2), clock=Clock())
    async with AsyncExitStack() as running:
        for _ in range(2):
            await running.enter_async_context(quotas.admitted("ant"))
        failure = await refused(quotas, "ant")
        assert (failure.limit, failure.retry_after_seconds) == ("concurrent_requests", 1)
        for _ in range(3):
            await running.enter_async_context(quotas.admitted("bee"))
    with pytest.raises(ZeroDivisionError):
        async with quotas.admitted("ant"):
            raise ZeroDivisionError
    for _ in range(3):
        await ask(quotas, "ant")


async def test_tokens_are_paid_afterwards() -> None:
    """The last one may overdraw; then nothing is judged until that is earned again."""
    clock = Clock()
    quotas = Quotas(Book(), TenantLimits(rerank_tokens_per_minute=600), clock=clock)
    for tokens in (599, 301):
        await quotas.require_tokens("ant")
        await quotas.spend_tokens("ant", tokens)
    with pytest.raises(QuotaExceeded) as caught:
        await quotas.require_tokens("ant")
    assert (caught.value.limit, caught.value.retry_after_seconds) == ("rerank_tokens_per_minute", 31)
    await ask(quotas, "ant")
    clock.now += 30.2
    await quotas.require_tokens("ant")


def test_exactly_as_much_as_may_be_stored_is_not_too_much() -> None:
    """The limit that is exceeded is named, and counted."""
    quotas, both = Quotas(Book(), NONE, clock=Clock()), TenantLimits(documents=10, bytes=5)
    quotas.require_stored(Held(documents=10, bytes=5), both)
    quotas.require_stored(Held(documents=10**9, bytes=10**9), NONE)
    with pytest.raises(StorageQuotaExceeded, match="11 documents would exceed the limit of 10") as caught:
        quotas.require_stored(Held(documents=11), both)
    assert caught.value.limit == "documents"
    with pytest.raises(StorageQuotaExceeded, match="6 bytes would exceed the limit of 5"):
        quotas.require_stored(Held(bytes=6), both)
    assert (quotas.refused[Limit.DOCUMENTS], quotas.refused[Limit.BYTES]) == (1, 1)


async def test_a_change_is_known_after_a_second_and_read_once() -> None:
    """By everybody, weight included, with one read for all who ask at once."""
    clock, book = Clock(), Book()
    quotas = Quotas(book, TenantLimits(requests_per_minute=5, weight=3.0), clock=clock)
    assert (await quotas.limits_of("ant")).requests_per_minute == 5
    book.set_limits("ant", TenantLimits(requests_per_minute=9, weight=2.0))
    await ask(quotas, "ant")
    assert book.reads == 1
    clock.now += 1.1
    found = await asyncio.gather(*(quotas.limits_of(tenant) for tenant in ("ant", "bee", "ant")))
    assert [each.requests_per_minute for each in found] == [9, 5, 9]
    assert (quotas.weight_of("ant"), quotas.weight_of("bee"), book.reads) == (2.0, 3.0, 2)


async def test_limits_are_not_read_again_while_the_catalog_stays_as_it_is() -> None:
    """A version that is not known says nothing."""
    clock, book, versions = Clock(), Book(), [7]
    quotas = Quotas(book, TenantLimits(requests_per_minute=5), clock=clock, catalog_version=lambda: versions[-1])
    for _ in range(3):
        await ask(quotas, "ant")
        clock.now += 60
    assert book.reads == 1
    book.set_limits("ant", TenantLimits(requests_per_minute=9))
    versions.append(8)
    assert (await quotas.limits_of("ant")).requests_per_minute == 9
    unknown = Quotas(book, NONE, clock=clock, catalog_version=lambda: None)
    for _ in range(3):
        await ask(unknown, "ant")
        clock.now += 2
    assert book.reads == 5


async def test_where_the_catalog_is_away_what_was_known_holds_on(caplog: pytest.LogCaptureFixture) -> None:
    """And is told in the log; a search does not fail for it."""
    clock, book = Clock(), Book(ant=TenantLimits(requests_per_minute=1))
    quotas = Quotas(book, NONE, clock=clock)
    await ask(quotas, "ant")
    book.failure = CatalogUnavailable("away")
    clock.now += 2
    assert (await refused(quotas, "ant")).limit == "requests_per_minute"
    assert "the last known ones stay in force" in caplog.text
