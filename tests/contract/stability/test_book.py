"""Golden sets, runs and samples, over both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sql

from winnow.retrieval.catalog.sql.audit import SqlAuditLog
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.scheduling.schedules import SqlSchedules
from winnow.retrieval.catalog.sql.stability import SqlStabilityBook, _row_of_run, query_sha256
from winnow.retrieval.catalog.sql.stability_samples import SqlSamples, query_digest
from winnow.retrieval.catalog.sql.stability_tables import RUNS, forget_collection
from winnow.retrieval.catalog.stability import (
    SAMPLE_AGE_MAX,
    Answered,
    Cause,
    CauseKind,
    Factor,
    GoldenQuery,
    GoldenSet,
    Measures,
    Place,
    Proof,
    RankingState,
    Run,
    Sample,
    Trigger,
)
from winnow.retrieval.catalog.stability_schedules import Claim
from winnow.retrieval.errors import GoldenSetNotFound, InvalidRequest, LimitExceeded, RunNotFound
from winnow.retrieval.limits import GOLDEN_QUERIES_MAX, GOLDEN_SETS_MAX
from winnow.retrieval.records import RecallMode
from winnow.retrieval.tenancy import COMMAND_LINE, TenantName

ONE, OTHER = TenantName("one"), TenantName("other")
NOW = datetime.now(UTC)
MINE, OTHERS = "mine", "others"  # who holds the lease of replays
STRANGE = "what\0 \ud800 退货"
STATE = RankingState(
    store_version=3,
    documents="d" * 64,
    generation="g-000002",
    index="exact",
    embedder="e 1",
    reranker=None,
    instruction="house@2",
    instruction_sha256="a" * 64,
    recall=RecallMode.HYBRID,
    candidates=50,
)
PLACES = (
    Place(document_id=STRANGE, ordinal=2, score=1 / 3, relevance=None, passage="aa"),
    Place(document_id="b", ordinal=0, score=None, relevance=0.25, passage="bb"),
)
ANSWERED = Answered(query_sha256=query_sha256(STRANGE), places=PLACES, degraded="timeout")
MEASURES = Measures(
    queries=2,
    moved=1,
    top1_change_rate=0.5,
    overlap=0.9,
    rbo=1 / 3,
    tau=None,
    score_shift_mean=0.1,
    score_shift_max=0.2,
    degraded=0.0,
    degraded_before=0.5,
)
CAUSE = Cause(kind=CauseKind.INDEX, proof=Proof.REPLAY, before="exact", after="hnsw", share=0.5)
SAMPLE = Sample(
    tenant=ONE,
    collection="docs",
    at=NOW,
    query_digest="c" * 64,
    query=STRANGE,
    state=STATE,
    places=PLACES,
    degraded=None,
)


def golden(tenant: TenantName = ONE, name: str = "everyday", collection: str = "docs") -> GoldenSet:
    return GoldenSet(
        tenant=tenant, name=name, collection=collection, created_at=NOW, candidates=7, recall=RecallMode.DENSE
    )


def run(tenant: TenantName = ONE, **more: object) -> Run:
    made = Run(number=0, tenant=tenant, golden="everyday", collection="docs", at=NOW, state=STATE, baseline=None)
    return replace(made, **more)  # type: ignore[arg-type]


def fill_stability(database: SqlDatabase, tenant: TenantName) -> None:
    """Rows in every table of ranking stability, for the tests of copies."""
    book, samples = SqlStabilityBook(database), SqlSamples(database)
    book.add(
        golden(tenant), [GoldenQuery(query=STRANGE, judgments={STRANGE: 2}), GoldenQuery(query="b")], by=COMMAND_LINE
    )
    schedules, claim = SqlSchedules(database), Claim(token=MINE, due=NOW)
    schedules.set_schedule(tenant, "everyday", every=timedelta(hours=6), daily_hour=None, by=COMMAND_LINE)
    assert schedules.hold(MINE, seconds=60)
    first = book.write_run(run(tenant), {STRANGE: ANSWERED}, becomes_baseline=True, claim=claim)
    book.write_run(
        run(tenant, baseline=first.number, measures=MEASURES, changed=(Factor.INDEX,), causes=(CAUSE,)),
        {STRANGE: ANSWERED},
        becomes_baseline=False,
    )
    samples.set_rule(tenant, share=1 / 3, keep_queries=True, by=COMMAND_LINE)
    samples.add([replace(SAMPLE, tenant=tenant), replace(SAMPLE, tenant=tenant, query=None)])


def run_number(database: SqlDatabase) -> int:
    """The number that the next run gets. It belongs to no set, whose making the audit log would number."""
    with database.writing() as connection:
        inserted = connection.execute(sql.insert(RUNS).values(_row_of_run(run(OTHER))).returning(RUNS.c.number))
        return int(inserted.scalar_one())


def sample_number(database: SqlDatabase) -> int:
    """The number that the next sample gets."""
    samples = SqlSamples(database)
    samples.add([replace(SAMPLE, tenant=OTHER)])
    return samples.samples(OTHER, since=NOW - timedelta(days=1), limit=1)[0].number


@pytest.fixture
def book(database: SqlDatabase) -> SqlStabilityBook:
    return SqlStabilityBook(database, runs_max=3)


def test_queries_are_kept_as_they_were_added(book: SqlStabilityBook) -> None:
    """In order, whatever characters they have; adding one again only changes its judgments."""
    queries = [GoldenQuery(query=STRANGE, judgments={STRANGE: 2}), GoldenQuery(query="b")]
    assert book.add(golden(), queries, by=COMMAND_LINE) == replace(golden(), queries=2, judged=1)
    assert book.queries(ONE, "everyday") == queries
    again = GoldenQuery(query="b", judgments={"x": 1})
    assert book.add(golden(), [again, GoldenQuery(query="c")], by=COMMAND_LINE).judged == 2
    assert book.queries(ONE, "everyday") == [queries[0], again, GoldenQuery(query="c")]
    with pytest.raises(InvalidRequest, match="belongs to the collection docs"):
        book.add(golden(collection="else"), queries, by=COMMAND_LINE)


def test_sets_are_bounded(book: SqlStabilityBook) -> None:
    """Queries of a set, and sets of a tenant; what is refused leaves nothing behind."""
    many = [GoldenQuery(query=f"q{number}") for number in range(GOLDEN_QUERIES_MAX + 1)]
    with pytest.raises(LimitExceeded, match="at most"):
        book.add(golden(), many, by=COMMAND_LINE)
    assert book.sets(ONE) == []
    for number in range(GOLDEN_SETS_MAX):
        book.add(golden(name=f"s{number}"), many[:1], by=COMMAND_LINE)
    with pytest.raises(LimitExceeded, match="remove one first"):
        book.add(golden(), many[:1], by=COMMAND_LINE)


def test_runs_are_kept_as_they_were(book: SqlStabilityBook) -> None:
    """With what was measured and why; the newest first, and only of the asking tenant."""
    book.add(golden(), [GoldenQuery(query=STRANGE)], by=COMMAND_LINE)
    first = book.write_run(run(), {STRANGE: ANSWERED}, becomes_baseline=True)
    later = run(
        baseline=first.number, measures=MEASURES, changed=(Factor.INDEX,), causes=(CAUSE,), trigger=Trigger.PUBLICATION
    )
    second = book.write_run(later, {}, becomes_baseline=False)
    assert book.runs(ONE, limit=9) == [replace(later, number=second.number), first]
    assert first.is_baseline
    assert book.answers(first) == {STRANGE: ANSWERED}
    assert (book.runs(OTHER, limit=9), book.runs(ONE, collection="else", limit=9)) == ([], [])
    with pytest.raises(RunNotFound):
        book.run(OTHER, first.number)
    with pytest.raises(GoldenSetNotFound):
        book.write_run(run(OTHER), {}, becomes_baseline=True)


def test_the_baseline_outlives_the_oldest_runs(book: SqlStabilityBook) -> None:
    """Of the others the newest are kept; their answers go with them."""
    book.add(golden(), [GoldenQuery(query=STRANGE)], by=COMMAND_LINE)
    first = book.write_run(run(), {STRANGE: ANSWERED}, becomes_baseline=True)
    others = [book.write_run(run(), {STRANGE: ANSWERED}, becomes_baseline=False) for _ in range(5)]
    assert [each.number for each in book.runs(ONE, limit=9)] == [
        *(each.number for each in reversed(others[2:])), first.number,
    ]  # fmt: skip
    assert book.answers(first) == {STRANGE: ANSWERED}
    assert book.answers(others[0]) == {}


def test_what_is_removed_is_gone(book: SqlStabilityBook, database: SqlDatabase) -> None:
    """A set takes its runs with it, a collection its sets, runs and samples; another tenant's stay."""
    fill_stability(database, ONE)
    fill_stability(database, OTHER)
    last = book.runs(ONE, limit=1)[0]
    with database.writing() as connection:
        forget_collection(connection, ONE, "docs")
    samples = SqlSamples(database)
    assert (book.sets(ONE), book.runs(ONE, limit=9), book.answers(last), book.queries(ONE, "everyday")) == (
        [],
        [],
        {},
        [],
    )
    assert samples.samples(ONE, since=NOW - timedelta(days=1), limit=9) == []
    assert len(book.runs(OTHER, limit=9)) == len(samples.samples(OTHER, since=NOW - timedelta(days=1), limit=9)) == 2
    book.remove(OTHER, "everyday", by=COMMAND_LINE)
    assert (book.sets(OTHER), book.runs(OTHER, limit=9)) == ([], [])
    with pytest.raises(GoldenSetNotFound):
        book.remove(OTHER, "everyday", by=COMMAND_LINE)
    actions = [each.action for each in SqlAuditLog(database).entries(tenant=OTHER, limit=9)]
    assert actions == ["golden-set.remove", "sampling.set", "golden-set.schedule", "golden-set.add"]


def test_samples_are_bounded_in_rows_and_age(database: SqlDatabase) -> None:
    """The newest of each tenant are kept; old ones are deleted although nothing new is recorded."""
    samples = SqlSamples(database, rows_max=3)
    samples.add([replace(SAMPLE, at=NOW - SAMPLE_AGE_MAX - timedelta(days=1)), SAMPLE])
    for _ in range(2):
        samples.forget_old()
        assert [each.at for each in samples.samples(ONE, since=NOW - 2 * SAMPLE_AGE_MAX, limit=9)] == [NOW]
    samples.add([replace(SAMPLE, tenant=OTHER)])
    samples.add([replace(SAMPLE, query_digest=str(number)) for number in range(5)])
    kept = samples.samples(ONE, since=NOW - timedelta(days=1), limit=9)
    assert [each.query_digest for each in kept] == ["2", "3", "4"]
    assert replace(kept[0], number=0, query_digest=SAMPLE.query_digest) == SAMPLE
    assert len(samples.samples(OTHER, since=NOW - timedelta(days=1), limit=9)) == 1


def test_a_digest_needs_the_tenants_key(database: SqlDatabase) -> None:
    """It stays the same when the share changes, and differs between tenants; texts go when they may not be kept."""
    samples = SqlSamples(database)
    assert (samples.rule(ONE).share, samples.rules()) == (0.0, [])
    rule = samples.set_rule(ONE, share=0.5, keep_queries=True, by=COMMAND_LINE)
    other = samples.set_rule(OTHER, share=0.5, keep_queries=True, by=COMMAND_LINE)
    samples.add([SAMPLE, replace(SAMPLE, tenant=OTHER)])
    digest = query_digest(rule, "q")
    changed = samples.set_rule(ONE, share=0.1, keep_queries=False, by=COMMAND_LINE)
    assert query_digest(changed, "q") == digest
    assert digest not in (query_digest(other, "q"), query_sha256("q"))
    since = NOW - timedelta(days=1)
    assert [each.query for each in samples.samples(ONE, since=since, limit=9)] == [None]
    assert [each.query for each in samples.samples(OTHER, since=since, limit=9)] == [STRANGE]
