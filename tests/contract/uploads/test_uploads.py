"""Uploaded files and their stores, over both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.test_calibrations import collection
from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.uploads.book import Page, SqlUploads
from winnow.retrieval.catalog.uploads import (
    AttachedFile,
    FileFault,
    FileStatus,
    StoreNotes,
    UploadedFile,
    document_id_of,
    file_id_of,
    new_file_id,
)
from winnow.retrieval.errors import CollectionNotFound, FileNotFound
from winnow.retrieval.tenancy import TenantName

ONE, OTHER = TenantName("one"), TenantName("other")
NOW = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
EVERYTHING = Page(limit=100)


def file(number: int, tenant: TenantName = ONE) -> UploadedFile:
    at = NOW + timedelta(seconds=number)
    name = f'it\'s "{number}" 法律.pdf'
    return UploadedFile(tenant=tenant, id=new_file_id(at), name=name, purpose="assistants", bytes=2**40, created_at=at)


def fill_uploads(database: SqlDatabase, tenant: TenantName, collection_name: str) -> None:
    """A row in each table."""
    book, one = SqlUploads(database), file(1, tenant)
    book.add(one)
    book.attach(tenant, collection_name, one.id, {"lang": "法律", "year": 2024, "share": 1 / 3, "new": True}, at=NOW)
    book.set_notes(tenant, collection_name, StoreNotes(name="Law 法律", metadata={"team": 'a "b"'}))


@pytest.fixture
def book(database: SqlDatabase) -> SqlUploads:
    for tenant in (ONE, OTHER):
        SqlCollections(database).add(collection(tenant))
    return SqlUploads(database)


def test_files_are_kept_word_for_word_and_apart(book: SqlUploads) -> None:
    """Each is its tenant's alone, and pages go both ways, from a file that is gone, too."""
    files = [file(number) for number in range(4)]
    for each in (*files, file(9, OTHER)):
        book.add(each)
    assert book.get(ONE, files[0].id) == files[0]
    assert book.files(ONE, EVERYTHING) == files[::-1]
    assert book.files(ONE, Page(limit=2, newest_first=False)) == files[:2]
    assert book.remove(ONE, files[1].id)
    assert book.files(ONE, Page(limit=9, after=files[1].id)) == files[:1]
    assert book.files(ONE, Page(limit=9, before=files[1].id)) == [files[3], files[2]]
    assert book.files(ONE, Page(limit=9, before=files[2].id, newest_first=False)) == [files[0]]
    assert book.files(ONE, EVERYTHING, purpose="vision") == []
    assert book.names(OTHER, [files[0].id]) == {}
    assert book.ids("other") != book.ids("one") == {files[0].id, files[2].id, files[3].id}
    for call in (book.get, book.remove):
        with pytest.raises(FileNotFound):
            call(OTHER, files[0].id)


def test_a_file_that_is_attached_stays(book: SqlUploads) -> None:
    """Until it is detached, or its collection is removed; what the end of its reading says is kept."""
    one = file(1)
    book.add(one)
    assert not book.attach(ONE, "docs", one.id, {"year": 2024, "new": True, "share": 0.5}, at=NOW)
    found = book.attached(ONE, "docs", one.id)
    assert found == AttachedFile(
        file=one, collection="docs", attached_at=NOW, status=FileStatus.IN_PROGRESS,
        attributes={"year": 2024, "new": True, "share": 0.5},
    )  # fmt: skip
    assert not book.remove(ONE, one.id)
    book.settle(found, status=FileStatus.FAILED, documents=0, rejected=2, error=FileFault.INVALID, reason="torn")
    failed = replace(found, status=FileStatus.FAILED, rejected=2, error=FileFault.INVALID, reason="torn")
    assert book.attached_files(ONE, "docs", EVERYTHING, status=FileStatus.FAILED) == [failed]
    assert book.attached_files(ONE, "docs", EVERYTHING, status=FileStatus.COMPLETED) == []
    assert book.counts(ONE, "docs") == {FileStatus.FAILED: (1, 2**40)}
    assert book.attach(ONE, "docs", one.id, {}, at=NOW)
    assert book.attached(ONE, "docs", one.id) == replace(found, attributes={})
    assert (book.collections_of(ONE, one.id), book.collections_of(OTHER, one.id)) == (["docs"], [])
    book.detach(ONE, "docs", one.id)
    book.settle(found, status=FileStatus.COMPLETED, documents=1, rejected=0)
    assert book.attached_files(ONE, "docs", EVERYTHING) == []
    assert book.remove(ONE, one.id)


def test_what_is_not_there_cannot_be_attached(book: SqlUploads, database: SqlDatabase) -> None:
    one = file(1)
    book.add(one)
    with pytest.raises(FileNotFound):
        book.attach(OTHER, "docs", one.id, {}, at=NOW)
    with pytest.raises(CollectionNotFound):
        book.attach(ONE, "nowhere", one.id, {}, at=NOW)
    with pytest.raises(CollectionNotFound):
        book.set_notes(ONE, "nowhere", StoreNotes(name="x"))
    fill_uploads(database, ONE, "docs")
    assert book.notes(ONE)["docs"].metadata == {"team": 'a "b"'}
    assert book.notes(OTHER) == {}
    SqlCollections(database).remove(ONE, "docs")
    assert (book.notes(ONE), book.counts(ONE, "docs")) == ({}, {})


def test_an_id_says_its_time_and_its_documents_say_the_id() -> None:
    ids = [new_file_id(NOW + timedelta(milliseconds=step)) for step in range(50)]
    assert ids == sorted(ids)
    assert file_id_of(document_id_of(ids[0], "a/b#1")) == ids[0]
    for other in (ids[0], "file-1/a", f"x{ids[0]}/a", f"{ids[0]}x/a", "plain"):
        assert file_id_of(other) is None
