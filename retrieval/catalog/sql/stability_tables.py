"""The tables of ranking stability, and their rows. `retrieval.catalog.sql.stability` and `samples` use them.

Texts of callers and document ids are in JSON, as they may contain a NUL or half a surrogate pair.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Final

import sqlalchemy as sql

from winnow.retrieval.catalog.sql.alerts import tables as alert_tables
from winnow.retrieval.catalog.sql.tables import Words, metadata
from winnow.retrieval.catalog.stability import Answered, Cause, CauseKind, Measures, Place, Proof, RankingState
from winnow.retrieval.catalog.stability_schedules import Claim, LeaseLost
from winnow.retrieval.records import RecallMode
from winnow.retrieval.tenancy import TenantName

SETS: Final = sql.Table(
    "stability_sets",
    metadata,
    sql.Column("tenant", Words, primary_key=True),
    sql.Column("name", Words, primary_key=True),
    sql.Column("collection", Words, nullable=False),
    sql.Column("created_at", Words, nullable=False),  # UTC, ISO 8601
    sql.Column("candidates", sql.Integer),
    sql.Column("recall", Words),
    sql.Column("instruction", Words),
    sql.Column("baseline", sql.Integer),  # number of a run
    sql.Column("every_seconds", sql.Integer),  # of its schedule; this or the hour, or neither
    sql.Column("daily_hour", sql.Integer),  # UTC
    sql.Column("scheduled_at", Words),  # UTC, ISO 8601
    sql.Column("replayed_due", Words),  # the last due time with a run; UTC, ISO 8601
)

QUERIES: Final = sql.Table(
    "stability_queries",
    metadata,
    sql.Column("tenant", Words, primary_key=True),
    sql.Column("set_name", Words, primary_key=True),
    sql.Column("query_sha256", Words, primary_key=True),
    sql.Column("position", sql.Integer, nullable=False),
    sql.Column("query", Words, nullable=False),  # JSON
    sql.Column("judgments", Words),  # JSON
)

RUNS: Final = sql.Table(
    "stability_runs",
    metadata,
    sql.Column("number", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("tenant", Words, nullable=False),
    sql.Column("set_name", Words, nullable=False),
    sql.Column("collection", Words, nullable=False),
    sql.Column("at", Words, nullable=False),  # UTC, ISO 8601
    sql.Column("state", Words, nullable=False),  # JSON
    sql.Column("baseline", sql.Integer),
    sql.Column("measures", Words),  # JSON
    sql.Column("changed", Words, nullable=False),  # JSON
    sql.Column("causes", Words, nullable=False),  # JSON
    sql.Column("trigger", Words, nullable=False),
    sql.Index(None, "tenant", "set_name", "number"),
)

# All answers of a run that is or was a baseline; of other runs, those that moved.
ANSWERS: Final = sql.Table(
    "stability_answers",
    metadata,
    sql.Column("run", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("query_sha256", Words, primary_key=True),
    sql.Column("query", Words, nullable=False),  # JSON
    sql.Column("places", Words, nullable=False),  # JSON
    sql.Column("degraded", Words),
)

SAMPLING: Final = sql.Table(
    "stability_sampling",
    metadata,
    sql.Column("tenant", Words, primary_key=True),
    sql.Column("share", sql.Double, nullable=False),
    sql.Column("keep_queries", sql.Boolean, nullable=False),
    sql.Column("digest_key", Words, nullable=False),  # hex
)

SAMPLES: Final = sql.Table(
    "stability_samples",
    metadata,
    sql.Column("number", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("tenant", Words, nullable=False),
    sql.Column("collection", Words, nullable=False),
    sql.Column("at", Words, nullable=False),  # UTC, ISO 8601
    sql.Column("query_digest", Words, nullable=False),
    sql.Column("query", Words),  # JSON
    sql.Column("state", Words, nullable=False),  # JSON
    sql.Column("places", Words, nullable=False),  # JSON
    sql.Column("degraded", Words),
    sql.Index(None, "tenant", "number"),
)

# One row at most: which process replays golden sets, and until when.
LEASE: Final = sql.Table(
    "stability_lease",
    metadata,
    sql.Column("name", Words, primary_key=True),
    sql.Column("token", Words, nullable=False),
    sql.Column("until", Words, nullable=False),  # UTC, ISO 8601, by the clock of the database
)
REPLAYS: Final = "replays"  # the name of the lease

TABLES: Final = frozenset({SETS, QUERIES, RUNS, ANSWERS, SAMPLING, SAMPLES, LEASE})


def accept_claim(connection: sql.Connection, tenant: TenantName, name: str, claim: Claim) -> None:
    """Mark the claim's due time as replayed, in the transaction that stores its run. Raises `LeaseLost`."""
    if connection.scalar(sql.select(LEASE.c.token).where(LEASE.c.name == REPLAYS)) != claim.token:
        raise LeaseLost
    if claim.due is not None:
        of_set = sql.and_(SETS.c.tenant == tenant, SETS.c.name == name)
        connection.execute(sql.update(SETS).where(of_set).values(replayed_due=claim.due.isoformat()))


def forget_collection(connection: sql.Connection, tenant: TenantName, collection: str) -> None:
    """Delete the golden sets, runs, samples and thresholds of a collection, in the transaction of its removal."""
    alert_tables.forget_collection(connection, tenant, collection)
    sets = sql.select(SETS.c.name).where(SETS.c.tenant == tenant, SETS.c.collection == collection)
    runs = sql.select(RUNS.c.number).where(RUNS.c.tenant == tenant, RUNS.c.collection == collection)
    connection.execute(sql.delete(ANSWERS).where(ANSWERS.c.run.in_(runs)))
    alert_tables.forget_runs(connection, runs)
    connection.execute(sql.delete(QUERIES).where(QUERIES.c.tenant == tenant, QUERIES.c.set_name.in_(sets)))
    for table in (RUNS, SETS, SAMPLES):
        connection.execute(sql.delete(table).where(table.c.tenant == tenant, table.c.collection == collection))


def places_json(places: Iterable[Place]) -> str:
    return json.dumps([(each.document_id, each.ordinal, each.score, each.relevance, each.passage) for each in places])


def places_of(text: str) -> tuple[Place, ...]:
    return tuple(
        Place(document_id=document_id, ordinal=ordinal, score=score, relevance=relevance, passage=passage)
        for document_id, ordinal, score, relevance, passage in json.loads(text)
    )


@functools.lru_cache(maxsize=256)  # samples of many searches have the same state
def state_json(state: RankingState) -> str:
    return json.dumps(asdict(state))


def state_of(text: str) -> RankingState:
    fields: dict[str, Any] = json.loads(text)
    return RankingState(**{**fields, "recall": RecallMode(fields["recall"])})


def measures_json(measures: Measures | None) -> str | None:
    return None if measures is None else json.dumps(asdict(measures))


def measures_of(text: str | None) -> Measures | None:
    return None if text is None else Measures(**json.loads(text))


def causes_json(causes: Iterable[Cause]) -> str:
    return json.dumps([asdict(each) for each in causes])


def causes_of(text: str) -> tuple[Cause, ...]:
    return tuple(
        Cause(**{**fields, "kind": CauseKind(fields["kind"]), "proof": Proof(fields["proof"])})
        for fields in json.loads(text)
    )


def answer_row(run: int, query: str, answered: Answered) -> Mapping[str, Any]:
    return {
        "run": run,
        "query_sha256": answered.query_sha256,
        "query": json.dumps(query),
        "places": places_json(answered.places),
        "degraded": answered.degraded,
    }


def answered_of(row: sql.Row[Any]) -> Answered:
    return Answered(query_sha256=row.query_sha256, places=places_of(row.places), degraded=row.degraded)
