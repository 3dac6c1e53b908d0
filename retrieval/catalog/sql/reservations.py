"""Storage reserved by writers before they write, in SQL: one row per collection being written.

A writer reads the tenant's turn and reservations, counts what is on the disk, and reserves only if the turn is still
the same: so no other reservation of the tenant comes in between. A reservation is the amount the collection will hold,
not the increase, so the writer's progress does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import sqlalchemy as sql

from winnow.retrieval.catalog.quotas import Held, Reservations
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.tables import Words, metadata
from winnow.retrieval.tenancy import TenantName

_turns = sql.Table(
    "storage_turns",
    metadata,
    sql.Column("tenant", Words, primary_key=True),
    sql.Column("turn", sql.BigInteger, nullable=False),
)

_reservations = sql.Table(
    "storage_reservations",
    metadata,
    sql.Column("tenant", Words, primary_key=True),
    sql.Column("collection", Words, primary_key=True),
    sql.Column("documents", sql.BigInteger, nullable=False),
    sql.Column("bytes", sql.BigInteger, nullable=False),
)

TABLES: Final = frozenset({_turns, _reservations})


class SqlReservations:
    """Reserves storage before it is written, for all processes together."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def reservations(self, tenant: TenantName) -> Reservations:
        with self._database.snapshot() as connection:
            turn = connection.scalar(sql.select(_turns.c.turn).where(_turns.c.tenant == tenant)) or 0
            rows = connection.execute(sql.select(_reservations).where(_reservations.c.tenant == tenant))
            held: Mapping[str, Held] = {row.collection: Held(documents=row.documents, bytes=row.bytes) for row in rows}
            return Reservations(turn=turn, held=held)

    def reserve(self, tenant: TenantName, collection: str, held: Held, *, turn: int) -> bool:
        """Replace the collection's reservation; return False, changing nothing, if `turn` is outdated."""
        with self._database.writing() as connection:
            now = connection.scalar(sql.select(_turns.c.turn).where(_turns.c.tenant == tenant))
            if (now or 0) != turn:
                return False
            connection.execute(sql.delete(_turns).where(_turns.c.tenant == tenant))
            connection.execute(sql.insert(_turns).values(tenant=tenant, turn=turn + 1))
            connection.execute(_of(tenant, collection))
            connection.execute(
                sql.insert(_reservations).values(
                    tenant=tenant, collection=collection, documents=held.documents, bytes=held.bytes
                )
            )
            return True

    def release(self, tenant: TenantName, collection: str) -> None:
        """Drop the collection's reservation, if there is one."""
        with self._database.writing() as connection:
            connection.execute(_of(tenant, collection))


def _of(tenant: TenantName, collection: str) -> sql.Delete:
    return sql.delete(_reservations).where(
        sql.and_(_reservations.c.tenant == tenant, _reservations.c.collection == collection)
    )
