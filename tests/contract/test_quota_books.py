"""What every `LimitBook` and `UsageBook` promises, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from itertools import pairwise

import pytest

from winnow.retrieval.catalog.quotas import AMOUNTS, LIMIT_MAX, Limit, TenantLimits, Usage
from winnow.retrieval.catalog.sql.audit import SqlAuditLog
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.quotas import SqlLimitBook, SqlUsageBook
from winnow.retrieval.errors import InvalidRequest, StorageError
from winnow.retrieval.tenancy import COMMAND_LINE, Actor, TenantName

ACME, ZETA, ADMIN = TenantName("acme"), TenantName("zeta"), Actor("key:0123456789ab")
FIRST, SECOND, THIRD = (date(2026, 2, day) for day in (27, 28, 1))


def used(tenant: str, day: date, amount: int = 1) -> Usage:
    """Every amount another one, so that none can be taken for its neighbour."""
    return Usage(tenant=tenant, day=day, **{name: amount * (place + 1) for place, name in enumerate(AMOUNTS)})


def test_limits_come_back_as_they_were_set(database: SqlDatabase) -> None:
    """Of those who have any, the largest number and "no limit" included; what says nothing is nothing."""
    book = SqlLimitBook(database)
    assert dict(book.limits()) == {}
    large = TenantLimits(requests_per_minute=LIMIT_MAX, bytes=0, weight=0.3)
    book.set_limits(ACME, large)
    book.set_limits(TenantName("other"), TenantLimits(documents=7))
    assert dict(book.limits()) == {"acme": large, "other": TenantLimits(documents=7)}
    book.set_limits(ACME, TenantLimits(documents=5))
    book.set_limits(TenantName("other"), TenantLimits())
    assert dict(SqlLimitBook(database).limits()) == {"acme": TenantLimits(documents=5)}


def test_a_change_of_limits_is_told_with_those_before(database: SqlDatabase) -> None:
    """And what changed nothing is not; None is "as the deployment has it"."""
    book, audit = SqlLimitBook(database), SqlAuditLog(database)
    for limits in (TenantLimits(documents=5, weight=0.5), TenantLimits(documents=0), TenantLimits(documents=0)):
        book.set_limits(ACME, limits, by=ADMIN)
    book.set_limits(ACME, TenantLimits())
    book.set_limits(ZETA, TenantLimits(), by=ADMIN)
    entries = list(reversed(audit.entries(tenant=None, limit=100)))
    assert [(each.actor, each.action, each.tenant, each.subject) for each in entries] == [
        (ADMIN, "tenant.limits", "acme", "acme"),
        (ADMIN, "tenant.limits", "acme", "acme"),
        (COMMAND_LINE, "tenant.limits", "acme", "acme"),
    ]
    nothing = dict.fromkeys([*Limit, "weight"])
    steps = [nothing, nothing | {"documents": 5, "weight": 0.5}, nothing | {"documents": 0}, nothing]
    assert [(each.before, each.after) for each in entries] == list(pairwise(steps))


def test_limits_do_not_change_without_their_entry(database: SqlDatabase) -> None:
    """Both are one transaction: where the entry cannot be written the change is taken back."""
    book = SqlLimitBook(database)
    book.set_limits(ACME, TenantLimits(documents=5))
    with database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE audit")
    for limits in (TenantLimits(documents=7), TenantLimits()):
        with pytest.raises(StorageError):
            book.set_limits(ACME, limits)
    assert dict(book.limits()) == {"acme": TenantLimits(documents=5)}


@pytest.mark.parametrize(
    "wrong", [{"documents": -1}, {"bytes": LIMIT_MAX + 1}, {"weight": 0.0}, {"weight": float("nan")}, {"weight": 1e9}]
)
def test_limits_that_mean_nothing_cannot_be_made(wrong: dict[str, float]) -> None:
    """Named, with what may be."""
    with pytest.raises(InvalidRequest, match=next(iter(wrong))):
        TenantLimits(**wrong)


def test_what_a_tenant_has_of_its_own_goes_before_the_default() -> None:
    """None leaves the default, 0 takes it away."""
    defaults = TenantLimits(requests_per_minute=10, documents=20, bytes=30)
    both = TenantLimits(documents=0, bytes=40).over(defaults)
    assert [both.of(limit) for limit in Limit] == [10, None, None, None, 40]


def test_usage_is_added_up_by_tenant_and_day(database: SqlDatabase) -> None:
    """Days are found from the first to the last, both included, in order."""
    book = SqlUsageBook(database)
    book.add([used("acme", FIRST), used("acme", SECOND), used("zeta", FIRST, 5)])
    book.add([used("acme", FIRST, 10)])
    book.add([])
    assert list(book.usage(since=FIRST, until=SECOND)) == [
        used("acme", FIRST, 11), used("zeta", FIRST, 5), used("acme", SECOND)
    ]  # fmt: skip
    assert list(book.usage(since=SECOND, until=SECOND)) == [used("acme", SECOND)]
    assert list(book.usage(since=THIRD, until=SECOND, tenant="zeta")) == [used("zeta", FIRST, 5)]
    assert list(book.usage(since=THIRD, until=THIRD)) == []


def test_amounts_beyond_four_bytes_are_kept(database: SqlDatabase) -> None:
    """A year of tokens."""
    book = SqlUsageBook(database)
    for _ in range(2):
        book.add([used("acme", FIRST, 2**40)])
    assert book.usage(since=FIRST, until=FIRST)[0] == used("acme", FIRST, 2**41)


def test_half_of_an_addition_is_never_seen(database: SqlDatabase) -> None:
    """One name that cannot be kept, and nothing is."""
    book = SqlUsageBook(database)
    with pytest.raises(InvalidRequest):
        book.add([used("acme", FIRST), used("\0", FIRST)])
    assert list(book.usage(since=FIRST, until=FIRST)) == []


def test_writers_at_once_lose_nothing(database: SqlDatabase) -> None:
    """Several processes of a deployment write every few seconds."""
    book = SqlUsageBook(database)

    def additions(number: int) -> Iterator[Usage]:
        yield used(f"tenant-{number % 3}", FIRST)
        yield used("everybody", FIRST)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: book.add(list(additions(number))), range(24)))
    found = Counter({each.tenant: each.requests for each in book.usage(since=FIRST, until=FIRST)})
    assert found == {"everybody": 24, "tenant-0": 8, "tenant-1": 8, "tenant-2": 8}
