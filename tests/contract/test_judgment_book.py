"""Judgments and their setting, over both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.contract.test_catalog import collection
from winnow.retrieval.catalog.judgments import Chosen, Judgment, JudgmentSource, Place, digest_of
from winnow.retrieval.catalog.sql.audit import SqlAuditLog
from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.judgments import SqlJudgmentBook
from winnow.retrieval.errors import InvalidRequest, JudgmentsFull
from winnow.retrieval.tenancy import COMMAND_LINE, TenantName

ONE, OTHER = TenantName("one"), TenantName("other")
NOW = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
ALL = Chosen()
QUERY = "what\0 \ud800 退货"
JUDGMENT = Judgment(
    tenant=ONE,
    place=Place(owner="one", name="docs"),
    query_sha256=digest_of(QUERY),
    query=QUERY,
    document_id="nul\0 half\ud800",
    grade=2,
    judge="ada",
    at=NOW,
)
CLICK = replace(JUDGMENT, grade=None)


@pytest.fixture
def book(database: SqlDatabase) -> SqlJudgmentBook:
    return SqlJudgmentBook(database, judgments_max=4, clicks_max=3)


def fill_judgments(database: SqlDatabase, tenant: TenantName) -> None:
    book = SqlJudgmentBook(database)
    book.keep_queries(tenant, keep=True, by=COMMAND_LINE)
    book.add([replace(JUDGMENT, tenant=tenant), replace(CLICK, tenant=tenant)])


def judgment_number(database: SqlDatabase, tenant: TenantName) -> int:
    """The number that the next judgment gets from the database."""
    book = SqlJudgmentBook(database)
    book.add([replace(JUDGMENT, tenant=tenant, judge=f"judge {len(book.all(tenant, ALL))}")])
    return book.page(tenant, ALL, limit=100)[-1].number


def of(book: SqlJudgmentBook, tenant: TenantName = ONE, chosen: Chosen = ALL) -> list[Judgment]:
    return list(book.all(tenant, chosen))


def test_a_text_is_kept_only_while_the_tenant_allows_it(book: SqlJudgmentBook) -> None:
    """Digest alone by default; word for word where allowed; gone when the tenant changes its mind."""
    assert not book.add([JUDGMENT])
    assert of(book) == [replace(JUDGMENT, query=None)]
    book.keep_queries(ONE, keep=True, by=COMMAND_LINE)
    assert book.add([JUDGMENT])
    assert of(book) == [JUDGMENT]
    assert (book.keeps_queries(ONE), book.keeps_queries(OTHER)) == (True, False)
    book.keep_queries(ONE, keep=False, by=COMMAND_LINE)
    assert of(book) == [replace(JUDGMENT, query=None)]
    assert not book.keeps_queries(ONE)


def test_a_reader_of_pages_sees_a_replaced_judgment_again(book: SqlJudgmentBook) -> None:
    """Its number grows, although the row before it was the last one."""
    book.add([JUDGMENT])
    (first,) = book.page(ONE, ALL, limit=9)
    book.add([replace(JUDGMENT, grade=0)])
    (again,) = book.page(ONE, ALL, after=first.number, limit=9)
    assert again.judgment.grade == 0
    assert of(book) == [again.judgment]


def test_a_second_judgment_of_the_same_judge_replaces_the_first(book: SqlJudgmentBook) -> None:
    """Another judge's, a click's, and a model's stand beside it; of two in one call the last counts."""
    beside = [replace(JUDGMENT, judge="bob"), CLICK, replace(JUDGMENT, source=JudgmentSource.MODEL)]
    book.add([JUDGMENT, *beside])
    book.add([replace(JUDGMENT, grade=1), replace(JUDGMENT, grade=0)])
    found = {(each.judge, each.source, each.is_click): each.grade for each in of(book)}
    person, model = JudgmentSource.PERSON, JudgmentSource.MODEL
    assert found == {
        ("ada", person, False): 0,
        ("bob", person, False): 2,
        ("ada", person, True): None,
        ("ada", model, False): 2,
    }


def test_grades_are_refused_beyond_the_limit_and_clicks_push_out_clicks(book: SqlJudgmentBook) -> None:
    """A flood of clicks costs no grade, and of another tenant neither costs anything."""
    graded = [replace(JUDGMENT, document_id=f"d{number}") for number in range(4)]
    book.add(graded)
    book.add([replace(graded[0], tenant=OTHER)])
    with pytest.raises(JudgmentsFull, match="this would make 5, the limit is 4"):
        book.add([replace(JUDGMENT, document_id="one more")])
    book.add([replace(graded[0], grade=1)])
    for number in range(6):
        book.add([replace(CLICK, document_id=f"d{number}")])
    ids = [(each.document_id, each.is_click) for each in of(book)]
    assert ids == [(f"d{n}", False) for n in (1, 2, 3, 0)] + [(f"d{n}", True) for n in (3, 4, 5)]
    assert len(of(book, OTHER)) == 1


def test_they_are_chosen_and_removed_by_collection_judge_and_source(book: SqlJudgmentBook) -> None:
    """Within one tenant, whatever another has under the same names; the audit log says how many."""
    granted = replace(JUDGMENT, place=Place.named("other/docs", asker=ONE), judge="bob")
    model = replace(JUDGMENT, source=JudgmentSource.MODEL, judge="large")
    book.add([JUDGMENT, granted, model])
    book.add([replace(JUDGMENT, tenant=OTHER, place=Place.named("docs", asker=OTHER))])
    assert [each.judge for each in of(book, ONE, Chosen(place=Place.named("docs", asker=ONE)))] == ["ada", "large"]
    assert [each.judge for each in of(book, ONE, Chosen(place=Place.named("other/docs", asker=ONE)))] == ["bob"]
    assert book.remove(ONE, Chosen(source=JudgmentSource.MODEL), by=COMMAND_LINE) == 1
    assert book.remove(ONE, Chosen(judge="nobody"), by=COMMAND_LINE) == 0
    assert book.remove(ONE, Chosen(judge="bob"), by=COMMAND_LINE) == 1
    assert [each.judge for each in of(book)] == ["ada"]
    assert book.remove(ONE, Chosen(), by=COMMAND_LINE) == 1
    assert (of(book), len(of(book, OTHER))) == ([], 1)


def test_pages_follow_each_other(book: SqlJudgmentBook) -> None:
    """By number, none twice."""
    book.add([replace(JUDGMENT, document_id=f"d{number}") for number in range(3)])
    first = book.page(ONE, Chosen(), limit=2)
    second = book.page(ONE, Chosen(), after=first[-1].number, limit=2)
    assert [each.judgment.document_id for each in (*first, *second)] == ["d0", "d1", "d2"]


def test_they_go_with_their_collection(database: SqlDatabase, book: SqlJudgmentBook) -> None:
    """Also those of tenants that it was granted to; a collection of the same name of another owner keeps its own."""
    catalog = SqlCollections(database)
    catalog.add(collection("docs", tenant=ONE))
    book.add([JUDGMENT, replace(JUDGMENT, place=Place(owner="one", name="others"), document_id="kept")])
    book.add(
        [replace(JUDGMENT, tenant=OTHER), replace(JUDGMENT, tenant=OTHER, place=Place(owner="other", name="docs"))]
    )
    catalog.remove(ONE, "docs")
    assert [each.document_id for each in of(book)] == ["kept"]
    assert [each.place.owner for each in of(book, OTHER)] == ["other"]


def test_what_was_removed_leaves_no_byte(tmp_path: Path) -> None:
    """Neither the text of the query nor the document's id is in the file."""
    path = tmp_path / "catalog.sqlite"
    database = SqlDatabase.open(path)
    book = SqlJudgmentBook(database)
    book.keep_queries(ONE, keep=True, by=COMMAND_LINE)
    book.add([replace(JUDGMENT, query="canaryquery", query_sha256=digest_of("canaryquery"), document_id="canaryid")])
    book.keep_queries(ONE, keep=False, by=COMMAND_LINE)
    book.remove(ONE, Chosen(judge="ada"), by=COMMAND_LINE)
    database.close()
    left = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert b"canary" not in left


def test_the_audit_log_names_what_was_changed_and_no_text(database: SqlDatabase, book: SqlJudgmentBook) -> None:
    book.keep_queries(ONE, keep=True, by=COMMAND_LINE)
    book.keep_queries(ONE, keep=True, by=COMMAND_LINE)
    book.add([JUDGMENT])
    book.remove(ONE, Chosen(place=Place.named("docs", asker=ONE), judge="ada"), by=COMMAND_LINE)
    entries = SqlAuditLog(database).entries(tenant=ONE, limit=10)
    assert [(each.action, each.subject, each.before) for each in entries] == [
        ("judgments.remove", "docs", {"count": 1, "source": None}),
        ("judgments.keep-queries", "one", {"keep_queries": False}),
    ]


@pytest.mark.parametrize("wrong", [{"grade": 11}, {"grade": -1}, {"judge": " "}, {"judge": "x" * 129}, {"query": ""}])
def test_what_is_no_judgment_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        replace(JUDGMENT, **wrong)  # type: ignore[arg-type]  # each is of its field's type
