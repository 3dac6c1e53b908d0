"""Calibrated thresholds, over both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from winnow.retrieval.catalog.calibrations import CalibratedFor, Calibration
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.catalog.sql.audit import SqlAuditLog
from winnow.retrieval.catalog.sql.calibrations import SqlCalibrations
from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.document_fields import FieldChoice
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import CollectionNotFound
from winnow.retrieval.tenancy import TenantName

ONE, OTHER = TenantName("one"), TenantName("other")
NOW = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
FOR = CalibratedFor(
    reranker="judge", revision="abc 1", instruction_sha256="a" * 64, fields=FieldChoice(names=("日期",), tokens_max=64)
)
CALIBRATION = Calibration(
    tenant=ONE,
    collection="docs",
    measured_for=FOR,
    instruction="house@2",
    threshold=1 / 3,
    precision=0.9,
    confidence=0.95,
    lower=0.900123456789,
    observed=0.97,
    coverage=0.4,
    kept=0.25,
    queries=200,
    tested=150,
    answered=60,
    top_k=10,
    candidates=30,
    seed=2**53,
    made_at=NOW,
)


def collection(tenant: TenantName) -> Collection:
    embedder = EmbedderIdentity(name="e", revision="1", dimension=8)
    return Collection(tenant=tenant, name="docs", embedder=embedder, chunk_tokens=256, created_at=NOW)


@pytest.fixture
def book(database: SqlDatabase) -> SqlCalibrations:
    for tenant in (ONE, OTHER):
        SqlCollections(database).add(collection(tenant))
    return SqlCalibrations(database)


def test_a_threshold_is_kept_word_for_word_and_replaced_by_the_next(book: SqlCalibrations) -> None:
    """One for each reranker and instruction; the newest first."""
    assert book.of_collection(ONE, "docs") == []
    book.put(CALIBRATION)
    assert book.of_collection(ONE, "docs") == [CALIBRATION]
    again = replace(CALIBRATION, threshold=0.5, instruction=None, made_at=NOW.replace(year=2027))
    other = replace(CALIBRATION, measured_for=replace(FOR, instruction_sha256="b" * 64), made_at=NOW.replace(day=4))
    book.put(again)
    book.put(other)
    assert book.of_collection(ONE, "docs") == [again, other]
    assert book.of_collection(OTHER, "docs") == []
    assert book.remove(ONE, "docs", instruction_sha256="b" * 64) == 1
    assert book.of_collection(ONE, "docs") == [again]
    assert book.remove(OTHER, "docs") == 0
    assert book.remove(ONE, "docs") == 1
    assert book.remove(ONE, "docs") == 0


def test_it_goes_with_its_collection(book: SqlCalibrations, database: SqlDatabase) -> None:
    """A later collection of the name does not inherit it, and none is stored for a collection that is gone."""
    collections = SqlCollections(database)
    book.put(CALIBRATION)
    book.put(replace(CALIBRATION, tenant=OTHER))
    collections.remove(ONE, "docs")
    collections.add(collection(ONE))
    assert book.of_collection(ONE, "docs") == []
    assert len(book.of_collection(OTHER, "docs")) == 1
    with pytest.raises(CollectionNotFound):
        book.put(replace(CALIBRATION, collection="gone"))


def test_changes_are_in_the_audit_log(book: SqlCalibrations, database: SqlDatabase) -> None:
    """With figures and digests, without any text."""
    book.put(CALIBRATION)
    book.remove(ONE, "docs")
    removed, put = SqlAuditLog(database).entries(tenant=ONE, limit=2)
    assert (put.action, put.subject, put.before) == ("calibration.set", "docs", None)
    assert put.after is not None
    assert put.after["threshold"] == 1 / 3
    assert (removed.action, removed.before, removed.after) == ("calibration.remove", put.after, None)
