"""Judgments in SQL, and whether a tenant keeps the texts of judged queries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sql

from winnow.retrieval.catalog.judgments import Chosen, Judgment, JudgmentSource, Place, StoredJudgment
from winnow.retrieval.catalog.sql.audit import Change, record
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.tables import Words, metadata
from winnow.retrieval.errors import JudgmentsFull
from winnow.retrieval.limits import CLICKS_MAX, JUDGMENTS_MAX
from winnow.retrieval.records import JsonValue
from winnow.retrieval.tenancy import Actor, TenantName

# No reference to collections: a tenant may judge a collection that was granted to it, and a grant may end.
_judgments = sql.Table(
    "judgments",
    metadata,
    sql.Column("number", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("tenant", Words, nullable=False),  # of the judge
    sql.Column("owner", Words, nullable=False),  # of the collection
    sql.Column("collection", Words, nullable=False),
    sql.Column("query_sha256", Words, nullable=False),
    sql.Column("query", Words),  # JSON, as it may contain a NUL or half a surrogate pair, which databases refuse
    sql.Column("document", Words, nullable=False),  # its id as JSON, for the same reason
    sql.Column("grade", sql.Integer),  # null: a click
    sql.Column("is_click", sql.Boolean, nullable=False),
    sql.Column("source", Words, nullable=False),
    sql.Column("judge", Words, nullable=False),
    sql.Column("at", Words, nullable=False),  # UTC, ISO 8601
    sql.Index(None, "tenant", "is_click", "number"),
    sql.Index(None, "tenant", "owner", "collection", "query_sha256"),
    sql.Index(None, "owner", "collection"),
)

_settings = sql.Table(
    "judgment_settings",
    metadata,
    sql.Column("tenant", Words, primary_key=True),
    sql.Column("keep_queries", sql.Boolean, nullable=False),
)

TABLES: Final = frozenset({_judgments, _settings})

_KEY: Final = ("tenant", "owner", "collection", "query_sha256", "document", "is_click", "source", "judge")
_SAME: Final = sql.and_(*(_judgments.c[name] == sql.bindparam(f"same_{name}") for name in _KEY))


class SqlJudgmentBook:
    """The judgments of all tenants. Changes are on the disk when a call returns.

    Everything is looked up within a tenant. The audit log records removals and changes of the setting.

    Its calls also raise what `SqlDatabase` raises.
    """

    def __init__(
        self, database: SqlDatabase, *, judgments_max: int = JUDGMENTS_MAX, clicks_max: int = CLICKS_MAX
    ) -> None:
        """The limits are for each tenant."""
        self._database = database
        self._judgments_max = judgments_max
        self._clicks_max = clicks_max

    def add(self, judgments: Iterable[Judgment]) -> bool:
        """Add all judgments of one tenant or none, and return whether their texts were kept.

        Each replaces the one of the same judge, query and document. Beyond the limit of clicks the oldest are deleted.
        Raises `JudgmentsFull` beyond the limit of the others.
        """
        rows = list({_key_of(row): row for row in map(_row_of, judgments)}.values())  # of two for one key, the last
        if not rows:
            return False
        (tenant,) = {row["tenant"] for row in rows}
        with self._database.writing() as connection:
            keeps = _keeps_queries(connection, tenant)
            if not keeps:
                rows = [row | {"query": None} for row in rows]
            # Insert first: SQLite gives a deleted row's number again if it was the last, and pages go by number.
            last = connection.execute(sql.select(sql.func.max(_judgments.c.number))).scalar() or 0
            connection.execute(sql.insert(_judgments), rows)
            before = sql.and_(_SAME, _judgments.c.number <= last)
            connection.execute(sql.delete(_judgments).where(before), [_same(row) for row in rows])
            self._bound(connection, tenant)
        return keeps

    def page(self, tenant: TenantName, chosen: Chosen, *, after: int = 0, limit: int) -> Sequence[StoredJudgment]:
        """Return judgments with numbers above `after`, in the order they were added."""
        wanted = sql.select(_judgments).where(_meant(tenant, chosen), _judgments.c.number > after)
        with self._database.reading() as connection:
            found = connection.execute(wanted.order_by(_judgments.c.number).limit(limit))
            return [StoredJudgment(number=row.number, judgment=_judgment(row)) for row in found]

    def all(self, tenant: TenantName, chosen: Chosen) -> Sequence[Judgment]:
        """Return judgments in the order they were added."""
        wanted = sql.select(_judgments).where(_meant(tenant, chosen)).order_by(_judgments.c.number)
        with self._database.reading() as connection:
            return [_judgment(row) for row in connection.execute(wanted)]

    def remove(self, tenant: TenantName, chosen: Chosen, *, by: Actor) -> int:
        """Delete judgments, and return how many there were."""
        with self._database.writing() as connection:
            count = connection.execute(sql.delete(_judgments).where(_meant(tenant, chosen))).rowcount
            if count:
                before: dict[str, JsonValue] = {"count": count, "source": chosen.source}
                subject = "all" if chosen.place is None else chosen.place.seen_by(tenant)
                record(
                    connection,
                    Change(actor=by, action="judgments.remove", tenant=tenant, subject=subject, before=before),
                )
        return count

    def keeps_queries(self, tenant: TenantName) -> bool:
        """Whether the texts of judged queries are kept. False unless the tenant allows it."""
        with self._database.reading() as connection:
            return _keeps_queries(connection, tenant)

    def keep_queries(self, tenant: TenantName, *, keep: bool, by: Actor) -> None:
        """Keep the texts of queries that are judged from now on, or delete all texts and keep none."""
        with self._database.writing() as connection:
            before = _keeps_queries(connection, tenant)
            connection.execute(sql.delete(_settings).where(_settings.c.tenant == tenant))
            connection.execute(sql.insert(_settings).values(tenant=tenant, keep_queries=keep))
            if not keep:
                texts = sql.and_(_judgments.c.tenant == tenant, _judgments.c.query.is_not(None))
                connection.execute(sql.update(_judgments).where(texts).values(query=None))
            if before != keep:
                changed: tuple[Mapping[str, JsonValue], ...] = ({"keep_queries": before}, {"keep_queries": keep})
                record(
                    connection,
                    Change(
                        actor=by,
                        action="judgments.keep-queries",
                        tenant=tenant,
                        subject=tenant,
                        before=changed[0],
                        after=changed[1],
                    ),
                )

    def _bound(self, connection: sql.Connection, tenant: str) -> None:
        columns = _judgments.c
        graded = sql.and_(columns.tenant == tenant, columns.is_click == sql.false())
        count = connection.scalar(sql.select(sql.func.count()).select_from(_judgments).where(graded)) or 0
        if count > self._judgments_max:
            raise JudgmentsFull(
                f"this would make {count:,}, the limit is {self._judgments_max:,}; delete some with "
                "`winnow judgments remove`"
            )
        clicked = sql.and_(columns.tenant == tenant, columns.is_click == sql.true())
        newest_first = sql.select(columns.number).where(clicked).order_by(columns.number.desc())
        last = connection.scalar(newest_first.offset(self._clicks_max).limit(1))
        if last is not None:
            connection.execute(sql.delete(_judgments).where(clicked, columns.number <= last))


def forget_collection(connection: sql.Connection, owner: str, name: str) -> None:
    """Delete what anyone judged about a collection, in the transaction that removes it."""
    columns = _judgments.c
    connection.execute(sql.delete(_judgments).where(columns.owner == owner, columns.collection == name))


def _keeps_queries(connection: sql.Connection, tenant: str) -> bool:
    return bool(connection.scalar(sql.select(_settings.c.keep_queries).where(_settings.c.tenant == tenant)))


def _meant(tenant: str, chosen: Chosen) -> sql.ColumnElement[bool]:
    columns = _judgments.c
    conditions = [columns.tenant == tenant]
    if chosen.place is not None:
        conditions += [columns.owner == chosen.place.owner, columns.collection == chosen.place.name]
    if chosen.judge is not None:
        conditions.append(columns.judge == chosen.judge)
    if chosen.source is not None:
        conditions.append(columns.source == chosen.source.value)
    return sql.and_(*conditions)


def _row_of(judgment: Judgment) -> dict[str, Any]:
    return {
        "tenant": judgment.tenant,
        "owner": judgment.place.owner,
        "collection": judgment.place.name,
        "query_sha256": judgment.query_sha256,
        "query": None if judgment.query is None else json.dumps(judgment.query),
        "document": json.dumps(judgment.document_id),
        "grade": judgment.grade,
        "is_click": judgment.is_click,
        "source": judgment.source.value,
        "judge": judgment.judge,
        "at": judgment.at.isoformat(),
    }


def _key_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in _KEY)


def _same(row: Mapping[str, Any]) -> dict[str, Any]:
    return {f"same_{name}": row[name] for name in _KEY}


def _judgment(row: sql.Row[Any]) -> Judgment:
    return Judgment(
        tenant=TenantName(row.tenant),
        place=Place(owner=row.owner, name=row.collection),
        query_sha256=row.query_sha256,
        query=None if row.query is None else json.loads(row.query),
        document_id=json.loads(row.document),
        grade=row.grade,
        source=JudgmentSource(row.source),
        judge=row.judge,
        at=datetime.fromisoformat(row.at),
    )
