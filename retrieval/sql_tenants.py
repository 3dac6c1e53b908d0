"""Tenants in SQL."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sql

from retrieval.sql_tables import Words, metadata

TENANTS: Final = sql.Table("tenants", metadata, sql.Column("name", Words, primary_key=True))


def add_tenant(connection: sql.Connection, tenant: str) -> None:
    """Makes it where it is not there yet."""
    known = connection.scalar(sql.select(TENANTS.c.name).where(TENANTS.c.name == tenant))
    if known is None:
        connection.execute(sql.insert(TENANTS).values(name=tenant))
