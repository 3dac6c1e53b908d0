"""Calibrated thresholds, in SQL. They go with their collection."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from winnow.retrieval.catalog.calibrations import CalibratedFor, Calibration
from winnow.retrieval.catalog.sql.audit import Change, record
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.tables import Words, metadata
from winnow.retrieval.document_fields import FieldChoice
from winnow.retrieval.errors import CollectionNotFound
from winnow.retrieval.records import JsonValue
from winnow.retrieval.tenancy import COMMAND_LINE, Actor, TenantName

_calibrations = sql.Table(
    "calibrations",
    metadata,
    sql.Column("tenant", Words, primary_key=True),
    sql.Column("collection", Words, primary_key=True),
    sql.Column("reranker", Words, primary_key=True),
    sql.Column("instruction_sha256", Words, primary_key=True),
    sql.Column("revision", Words, nullable=False),  # of the reranker
    sql.Column("fields", Words, nullable=False),  # JSON: names and tokens_max
    sql.Column("instruction", Words),  # NAME@VERSION
    sql.Column("threshold", sql.Double, nullable=False),
    sql.Column("precision", sql.Double, nullable=False),
    sql.Column("confidence", sql.Double, nullable=False),
    sql.Column("lower", sql.Double, nullable=False),
    sql.Column("observed", sql.Double, nullable=False),
    sql.Column("coverage", sql.Double, nullable=False),
    sql.Column("kept", sql.Double, nullable=False),
    sql.Column("queries", sql.Integer, nullable=False),
    sql.Column("tested", sql.Integer, nullable=False),
    sql.Column("answered", sql.Integer, nullable=False),
    sql.Column("top_k", sql.Integer, nullable=False),
    sql.Column("candidates", sql.Integer, nullable=False),
    sql.Column("seed", sql.BigInteger, nullable=False),
    sql.Column("made_at", Words, nullable=False),  # UTC, ISO 8601
    sql.ForeignKeyConstraint(
        ["tenant", "collection"],
        ["collections.tenant", "collections.name"],
        ondelete="CASCADE",
    ),
)

TABLES: Final = frozenset({_calibrations})
_NUMBERS: Final = (
    *("threshold", "precision", "confidence", "lower", "observed", "coverage", "kept"),
    *("queries", "tested", "answered", "top_k", "candidates", "seed"),
)  # columns that are attributes of the same name


class SqlCalibrations:
    """The thresholds of all collections. Its calls also raise what `SqlDatabase` raises."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def put(self, calibration: Calibration, *, by: Actor = COMMAND_LINE) -> None:
        """Store a threshold in place of the one for the same reranker and instruction. Raises `CollectionNotFound`."""
        row = _row_of(calibration)
        same = sql.and_(
            _of_collection(calibration.tenant, calibration.collection),
            _calibrations.c.reranker == row["reranker"],
            _calibrations.c.instruction_sha256 == row["instruction_sha256"],
        )
        with self._database.writing() as connection:
            before = connection.execute(sql.select(_calibrations).where(same)).first()
            connection.execute(sql.delete(_calibrations).where(same))
            try:
                connection.execute(sql.insert(_calibrations).values(row))
            except IntegrityError as error:  # the row refers to the collection
                raise CollectionNotFound(calibration.collection) from error
            change = Change(
                actor=by,
                action="calibration.set",
                tenant=calibration.tenant,
                subject=calibration.collection,
                before=None if before is None else _properties(_calibration(before)),
                after=_properties(calibration),
            )
            record(connection, change)

    def of_collection(self, tenant: TenantName, collection: str) -> Sequence[Calibration]:
        """Return a collection's thresholds, the newest first."""
        wanted = sql.select(_calibrations).where(_of_collection(tenant, collection))
        with self._database.reading() as connection:
            return [
                _calibration(row) for row in connection.execute(wanted.order_by(_calibrations.c.made_at.desc())).all()
            ]

    def remove(
        self, tenant: TenantName, collection: str, *, instruction_sha256: str | None = None, by: Actor = COMMAND_LINE
    ) -> int:
        """Remove a collection's thresholds, or those of one instruction. Returns how many there were."""
        where = _of_collection(tenant, collection)
        if instruction_sha256 is not None:
            where = sql.and_(where, _calibrations.c.instruction_sha256 == instruction_sha256)
        with self._database.writing() as connection:
            found = [_calibration(row) for row in connection.execute(sql.select(_calibrations).where(where)).all()]
            connection.execute(sql.delete(_calibrations).where(where))
            for each in found:
                change = Change(
                    actor=by,
                    action="calibration.remove",
                    tenant=tenant,
                    subject=collection,
                    before=_properties(each),
                )
                record(connection, change)
        return len(found)


def _of_collection(tenant: str, collection: str) -> sql.ColumnElement[bool]:
    return sql.and_(_calibrations.c.tenant == tenant, _calibrations.c.collection == collection)


def _properties(calibration: Calibration) -> dict[str, JsonValue]:
    """Return what the audit log records: numbers and names."""
    return {
        "reranker": calibration.measured_for.reranker,
        "instruction": calibration.instruction,
        "instruction_sha256": calibration.measured_for.instruction_sha256,
        "threshold": calibration.threshold,
        "precision": calibration.precision,
        "coverage": calibration.coverage,
    }


def _row_of(calibration: Calibration) -> dict[str, Any]:
    measured = calibration.measured_for
    fields = {"names": list(measured.fields.names), "tokens_max": measured.fields.tokens_max}
    return {
        "tenant": calibration.tenant,
        "collection": calibration.collection,
        "reranker": measured.reranker,
        "instruction_sha256": measured.instruction_sha256,
        "revision": measured.revision,
        "fields": json.dumps(fields),
        "instruction": calibration.instruction,
        "made_at": calibration.made_at.isoformat(),
        **{name: getattr(calibration, name) for name in _NUMBERS},
    }


def _calibration(row: sql.Row[Any]) -> Calibration:
    fields = json.loads(row.fields)
    return Calibration(
        tenant=TenantName(row.tenant),
        collection=row.collection,
        measured_for=CalibratedFor(
            reranker=row.reranker,
            revision=row.revision,
            instruction_sha256=row.instruction_sha256,
            fields=FieldChoice.of(fields),
        ),
        instruction=row.instruction,
        made_at=datetime.fromisoformat(row.made_at),
        **{name: getattr(row, name) for name in _NUMBERS},
    )
