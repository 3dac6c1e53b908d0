"""Shadows and what came of them, over both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from winnow.retrieval.catalog.shadows import Agreement, Comparison, Place, Shadow, VersionPair
from winnow.retrieval.catalog.sql.audit import SqlAuditLog
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.shadows import SqlShadowBook
from winnow.retrieval.errors import InstructionNotFound
from winnow.retrieval.tenancy import COMMAND_LINE, TenantName

ONE, OTHER = TenantName("one"), TenantName("other")
NOW = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
SHADOW = Shadow(tenant=ONE, name="house", version=2, live="house", share=0.1, started_at=NOW)
PAIR = VersionPair(live="house@1", shadow="house@2", text_sha256="a" * 64)
COMPARISON = Comparison(
    tenant=ONE,
    name="house",
    pair=PAIR,
    collection="docs",
    at=NOW,
    query_sha256="b" * 64,
    query=None,
    candidates=50,
    live_order=(Place(document_id="zh/退货", ordinal=0), Place(document_id="nul\0 half\ud800", ordinal=3)),
    shadow_order=(Place(document_id="nul\0 half\ud800", ordinal=3), Place(document_id="zh/退货", ordinal=0)),
    agreement=Agreement(overlap=0.7, tau=0.123456789012345, rbo=1 / 3, top_changed=True),
)


@pytest.fixture
def book(database: SqlDatabase) -> SqlShadowBook:
    return SqlShadowBook(database, kept_max=3)


def numbers(book: SqlShadowBook, tenant: TenantName = ONE) -> list[int]:
    return [each.number for each in book.outcomes(tenant, "house")]


def test_a_shadow_is_kept_until_it_is_stopped(book: SqlShadowBook) -> None:
    """Word for word; a second one of the name replaces it."""
    assert book.shadows() == []
    book.start(SHADOW, by=COMMAND_LINE)
    assert book.shadows(ONE) == [SHADOW]
    other = replace(SHADOW, version=3, live="builtin/legal@1", share=1.0, collection="docs", keep_queries=True)
    book.start(other, by=COMMAND_LINE)
    assert book.shadows(ONE) == [other]
    book.stop(ONE, "house", by=COMMAND_LINE)
    assert book.shadows(ONE) == []
    with pytest.raises(InstructionNotFound, match="house has no shadow"):
        book.stop(ONE, "house", by=COMMAND_LINE)


def test_tenants_do_not_meet(book: SqlShadowBook) -> None:
    """The same name in both: each has its own, and neither can end or read the other's."""
    book.start(SHADOW, by=COMMAND_LINE)
    book.start(replace(SHADOW, tenant=OTHER, share=0.9), by=COMMAND_LINE)
    book.add([COMPARISON, replace(COMPARISON, tenant=OTHER, query="theirs")])
    assert [each.share for each in book.shadows(ONE)] == [0.1]
    assert [each.tenant for each in book.shadows()] == [ONE, OTHER]
    (mine,), (theirs,) = numbers(book), numbers(book, OTHER)
    assert book.comparisons(ONE, "house", [theirs, mine]) == [COMPARISON]
    book.stop(ONE, "house", forget=True, by=COMMAND_LINE)
    assert (numbers(book), numbers(book, OTHER)) == ([], [theirs])
    assert [each.tenant for each in book.shadows()] == [OTHER]


def test_what_came_of_it_is_kept_as_it_was(book: SqlShadowBook) -> None:
    """Whatever letters there are in ids and queries, and in the order asked for."""
    second = replace(
        COMPARISON, query="what\0 \ud800 退货", agreement=replace(COMPARISON.agreement, tau=None, top_changed=False)
    )
    book.add([COMPARISON, second])
    book.add([])
    outcomes = book.outcomes(ONE, "house")
    assert [(each.pair, each.agreement) for each in outcomes] == [
        (PAIR, COMPARISON.agreement),
        (PAIR, second.agreement),
    ]
    first, last = (each.number for each in outcomes)
    assert book.comparisons(ONE, "house", [last, first, last + 1]) == [second, COMPARISON]
    assert book.comparisons(ONE, "another", [first]) == []


def test_the_oldest_of_a_pair_go(book: SqlShadowBook) -> None:
    """Three are kept here of each two versions, whatever the draft said meanwhile; other pairs are let alone."""
    other = replace(COMPARISON, pair=replace(PAIR, live="house@0"))
    book.add([other])
    book.add([replace(COMPARISON, candidates=count) for count in (1, 2)])
    book.add([replace(COMPARISON, candidates=count, pair=replace(PAIR, text_sha256="c")) for count in (3, 4, 5)])
    kept = book.comparisons(ONE, "house", numbers(book))
    assert [each.candidates for each in kept] == [50, 3, 4, 5]


def test_a_stopped_shadow_leaves_its_comparisons_unless_they_are_to_be_forgotten(book: SqlShadowBook) -> None:
    book.start(SHADOW, by=COMMAND_LINE)
    book.add([COMPARISON])
    book.stop(ONE, "house", by=COMMAND_LINE)
    assert len(numbers(book)) == 1
    book.stop(ONE, "house", forget=True, by=COMMAND_LINE)
    assert numbers(book) == []


def test_a_promotion_ends_the_shadow(book: SqlShadowBook) -> None:
    """Where there is one."""
    book.start(SHADOW, by=COMMAND_LINE)
    book.promoted(ONE, "house", 2, by=COMMAND_LINE)
    book.promoted(ONE, "house", 2, by=COMMAND_LINE)
    assert book.shadows() == []


def test_every_change_is_in_the_audit_log(book: SqlShadowBook, database: SqlDatabase) -> None:
    """Newest first, with what was and what is."""
    book.start(SHADOW, by=COMMAND_LINE)
    book.start(replace(SHADOW, share=0.5), by=COMMAND_LINE)
    book.stop(ONE, "house", by=COMMAND_LINE)
    book.promoted(ONE, "house", 2, by=COMMAND_LINE)
    entries = SqlAuditLog(database).entries(tenant=ONE, limit=10)
    assert [(each.action, each.subject) for each in entries] == [
        ("instruction.promote", "house@2"),
        ("shadow.stop", "house"),
        ("shadow.start", "house"),
        ("shadow.start", "house"),
    ]
    assert [(each.before and each.before["share"], each.after and each.after["share"]) for each in entries] == [
        (None, None),
        (0.5, None),
        (0.1, 0.5),
        (None, 0.1),
    ]
