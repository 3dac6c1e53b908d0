"""Samples of live searches and which share of them is recorded, in SQL."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sql

from winnow.retrieval.catalog.sql.audit import Change, record
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.stability_tables import (
    SAMPLES,
    SAMPLING,
    places_json,
    places_of,
    state_json,
    state_of,
)
from winnow.retrieval.catalog.stability import SAMPLE_AGE_MAX, SAMPLES_PER_TENANT_MAX, Sample, SamplingRule
from winnow.retrieval.tenancy import Actor, TenantName

_KEY_BYTES: Final = 32


class SqlSamples:
    """The samples of all tenants, and their rules. Changes are on the disk when a call returns.

    Its calls also raise what `SqlDatabase` raises.
    """

    def __init__(self, database: SqlDatabase, *, rows_max: int = SAMPLES_PER_TENANT_MAX) -> None:
        self._database = database
        self._rows_max = rows_max

    def set_rule(self, tenant: TenantName, *, share: float, keep_queries: bool, by: Actor) -> SamplingRule:
        """Set the share of a tenant's searches to record. Texts already stored are deleted unless they may be kept.

        The digest key is created once per tenant, so that samples of one query stay comparable.
        """
        with self._database.writing() as connection:
            before = _find(connection, tenant)
            key = before.digest_key or secrets.token_bytes(_KEY_BYTES)
            rule = SamplingRule(tenant=tenant, share=share, keep_queries=keep_queries, digest_key=key)
            connection.execute(sql.delete(SAMPLING).where(SAMPLING.c.tenant == tenant))
            connection.execute(
                sql.insert(SAMPLING).values(tenant=tenant, share=share, keep_queries=keep_queries, digest_key=key.hex())
            )
            if not keep_queries:
                connection.execute(sql.update(SAMPLES).where(SAMPLES.c.tenant == tenant).values(query=None))
            record(
                connection,
                Change(
                    actor=by,
                    action="sampling.set",
                    tenant=tenant,
                    subject="searches",
                    before={"share": before.share, "keep_queries": before.keep_queries},
                    after={"share": share, "keep_queries": keep_queries},
                ),
            )
            return rule

    def rule(self, tenant: TenantName) -> SamplingRule:
        """Return a tenant's rule; by default nothing is recorded."""
        with self._database.reading() as connection:
            return _find(connection, tenant)

    def rules(self) -> Sequence[SamplingRule]:
        """Return the rules of the tenants that record something."""
        with self._database.reading() as connection:
            return [_rule(row) for row in connection.execute(sql.select(SAMPLING).where(SAMPLING.c.share > 0))]

    def add(self, samples: Iterable[Sample]) -> None:
        """Add all or none. Of each tenant, the oldest beyond `SAMPLES_PER_TENANT_MAX` are deleted."""
        rows = [_row_of(each) for each in samples]
        if not rows:
            return
        with self._database.writing() as connection:
            connection.execute(sql.insert(SAMPLES), rows)
            for tenant in {row["tenant"] for row in rows}:
                of_tenant = SAMPLES.c.tenant == tenant
                newest = sql.select(SAMPLES.c.number).where(of_tenant).order_by(SAMPLES.c.number.desc())
                last = connection.scalar(newest.offset(self._rows_max).limit(1))
                if last is not None:
                    connection.execute(sql.delete(SAMPLES).where(of_tenant, SAMPLES.c.number <= last))

    def forget_old(self) -> None:
        """Delete what is older than `SAMPLE_AGE_MAX`, also of tenants whose searches are no longer recorded."""
        is_old = SAMPLES.c.at < (datetime.now(UTC) - SAMPLE_AGE_MAX).isoformat()
        with self._database.reading() as connection:
            if connection.scalar(sql.select(sql.exists().where(is_old))) is not True:
                return
        with self._database.writing() as connection:
            connection.execute(sql.delete(SAMPLES).where(is_old))

    def samples(
        self, tenant: TenantName, *, since: datetime, collection: str | None = None, limit: int
    ) -> Sequence[Sample]:
        """Return the newest samples since then, oldest first."""
        wanted = sql.select(SAMPLES).where(SAMPLES.c.tenant == tenant, SAMPLES.c.at >= since.isoformat())
        if collection is not None:
            wanted = wanted.where(SAMPLES.c.collection == collection)
        with self._database.reading() as connection:
            found = connection.execute(wanted.order_by(SAMPLES.c.number.desc()).limit(limit)).all()
        return [_sample(row) for row in reversed(found)]


def query_digest(rule: SamplingRule, query: str) -> str:
    """Return the keyed digest of a query: without the tenant's key, nobody can test guesses against it."""
    return hmac.new(rule.digest_key, query.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _find(connection: sql.Connection, tenant: TenantName) -> SamplingRule:
    row = connection.execute(sql.select(SAMPLING).where(SAMPLING.c.tenant == tenant)).first()
    return SamplingRule(tenant=tenant) if row is None else _rule(row)


def _rule(row: sql.Row[Any]) -> SamplingRule:
    return SamplingRule(
        tenant=TenantName(row.tenant),
        share=row.share,
        keep_queries=row.keep_queries,
        digest_key=bytes.fromhex(row.digest_key),
    )


def _row_of(sample: Sample) -> dict[str, Any]:
    return {
        "tenant": sample.tenant,
        "collection": sample.collection,
        "at": sample.at.isoformat(),
        "query_digest": sample.query_digest,
        "query": None if sample.query is None else json.dumps(sample.query),
        "state": state_json(sample.state),
        "places": places_json(sample.places),
        "degraded": sample.degraded,
    }


def _sample(row: sql.Row[Any]) -> Sample:
    return Sample(
        number=row.number,
        tenant=TenantName(row.tenant),
        collection=row.collection,
        at=datetime.fromisoformat(row.at),
        query_digest=row.query_digest,
        query=None if row.query is None else json.loads(row.query),
        state=state_of(row.state),
        places=places_of(row.places),
        degraded=row.degraded,
    )
