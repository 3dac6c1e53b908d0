"""api/usage_meter.py: nothing is lost on an orderly stop, nothing is counted twice, days do not mix."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import date
from threading import Event

import pytest

from winnow.api.usage_meter import UsageMeter
from winnow.retrieval.catalog.quotas import Usage
from winnow.retrieval.errors import CatalogUnavailable

TODAY, TOMORROW = date(2026, 2, 28), date(2026, 3, 1)


class Book:
    """Implements `UsageBook` in memory; fails as often as it is told to."""

    def __init__(self, *, failures: int = 0) -> None:
        self.sums: dict[tuple[str, date], Usage] = {}
        self.failures = failures
        self.may_go_on = Event()
        self.may_go_on.set()

    def add(self, used: Iterable[Usage]) -> None:
        self.may_go_on.wait(10)
        if self.failures:
            self.failures -= 1
            raise CatalogUnavailable("away")
        for each in used:
            known = self.sums.get((each.tenant, each.day))
            self.sums[each.tenant, each.day] = each if known is None else known + each

    def usage(self, *, since: date, until: date, tenant: str | None = None) -> Sequence[Usage]:
        return list(self.sums.values())


async def test_what_was_counted_is_written_when_the_service_stops() -> None:
    """Long before the first interval is over."""
    book = Book()
    meter = UsageMeter(book, today=lambda: TODAY)
    async with meter.running():
        for _ in range(3):
            meter.requested("ant")
        meter.add(Usage(tenant="ant", day=TODAY, rerank_tokens=70))
        meter.add(Usage(tenant="bee", day=TODAY, embedded_tokens=400))
    assert book.sums == {
        ("ant", TODAY): Usage(tenant="ant", day=TODAY, requests=3, rerank_tokens=70),
        ("bee", TODAY): Usage(tenant="bee", day=TODAY, embedded_tokens=400),
    }


async def test_what_cannot_be_written_now_is_written_later(caplog: pytest.LogCaptureFixture) -> None:
    """Once, together with what came meanwhile."""
    book = Book(failures=2)
    meter = UsageMeter(book, today=lambda: TODAY)
    for _ in range(3):
        meter.requested("ant")
        await meter.flush()
    await meter.flush()
    assert book.sums == {("ant", TODAY): Usage(tenant="ant", day=TODAY, requests=3)}
    assert [record.getMessage() for record in caplog.records].count(
        "usage of tenants cannot be written; retrying later"
    ) == 2


async def test_what_comes_while_something_is_written_is_kept_for_the_next_time() -> None:
    """Neither lost nor written twice."""
    book = Book()
    meter = UsageMeter(book, today=lambda: TODAY)
    book.may_go_on.clear()
    meter.requested("ant")
    async with meter.running():
        writing = asyncio.create_task(meter.flush())
        await asyncio.sleep(0)
        meter.requested("ant")
        book.may_go_on.set()
        await writing
    assert book.sums == {("ant", TODAY): Usage(tenant="ant", day=TODAY, requests=2)}


async def test_days_do_not_mix() -> None:
    """A flush after midnight writes what was before it to the day before."""
    days = iter([TODAY, TODAY, TOMORROW])
    book = Book()
    meter = UsageMeter(book, today=lambda: next(days))
    for _ in range(3):
        meter.requested("ant")
    await meter.flush()
    assert {day: each.requests for (_, day), each in book.sums.items()} == {TODAY: 2, TOMORROW: 1}
