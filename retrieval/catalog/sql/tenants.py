"""Tenants and grants in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from winnow.retrieval.catalog.sql.audit import Change, record
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.tables import Words, metadata
from winnow.retrieval.catalog.tenants import Grant, Tenant, checked_tenant
from winnow.retrieval.errors import CollectionNotFound, GrantNotFound, InvalidRequest, TenantExists, TenantNotFound
from winnow.retrieval.tenancy import Actor, TenantName

TENANTS = sql.Table(
    "tenants",
    metadata,
    sql.Column("name", Words, primary_key=True),
    sql.Column("created_at", Words, nullable=False),  # UTC, ISO 8601
    sql.Column("disabled_at", Words),
)

GRANTS = sql.Table(
    "grants",
    metadata,
    sql.Column("owner", Words, primary_key=True),
    sql.Column("collection", Words, primary_key=True),
    sql.Column("reader", Words, primary_key=True, index=True),  # no reference: see `SqlGrants.give`
    sql.Column("created_at", Words, nullable=False),  # UTC, ISO 8601
    sql.ForeignKeyConstraint(["owner", "collection"], ["collections.tenant", "collections.name"], ondelete="CASCADE"),
)


class SqlTenants:
    """Creates and lists tenants. Raises `TenantNotFound`, `TenantExists`. Every change is in the audit log."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def tenants(self) -> Sequence[Tenant]:
        """Return all tenants, by name."""
        with self._database.reading() as connection:
            return [_tenant(row) for row in connection.execute(sql.select(TENANTS).order_by(TENANTS.c.name))]

    def tenant(self, name: str) -> Tenant:
        with self._database.reading() as connection:
            return _find(connection, name)

    def make(self, name: str, *, by: Actor) -> Tenant:
        """Create a tenant. Raises `InvalidRequest` for an invalid name."""
        made = Tenant(name=checked_tenant(name), created_at=datetime.now(UTC))
        with self._database.writing() as connection:
            if connection.execute(sql.select(TENANTS).where(TENANTS.c.name == name)).first() is not None:
                raise TenantExists(name)
            connection.execute(sql.insert(TENANTS).values(name=name, created_at=_said(made.created_at)))
            record(connection, Change(actor=by, action="tenant.create", tenant=made.name, subject=name, after={}))
        return made

    def disable(self, name: str, *, by: Actor) -> Tenant:
        """Disable a tenant without removing anything."""
        return self._set_disabled(name, disabled=True, by=by)

    def enable(self, name: str, *, by: Actor) -> Tenant:
        """Enable a tenant again; everything is as before."""
        return self._set_disabled(name, disabled=False, by=by)

    def _set_disabled(self, name: str, *, disabled: bool, by: Actor) -> Tenant:
        with self._database.writing() as connection:
            found = _find(connection, name)
            if (found.disabled_at is not None) == disabled:
                return found
            at = _said(datetime.now(UTC)) if disabled else None
            connection.execute(sql.update(TENANTS).where(TENANTS.c.name == name).values(disabled_at=at))
            record(
                connection,
                Change(
                    actor=by,
                    action="tenant.disable" if disabled else "tenant.enable",
                    tenant=found.name,
                    subject=name,
                    before={"disabled": not disabled},
                    after={"disabled": disabled},
                ),
            )
            return _find(connection, name)


class SqlGrants:
    """Gives and revokes the right to search. Every change is in the audit log."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def give(self, owner: TenantName, collection: str, reader: str, *, by: Actor) -> Grant:
        """Grant a collection; an existing grant stays as it is. Raises `CollectionNotFound`, `InvalidRequest`.

        It does not check whether the reader exists: the owner would learn about other tenants.
        """
        grant = Grant(owner=owner, collection=collection, reader=checked_tenant(reader), created_at=datetime.now(UTC))
        if grant.reader == owner:
            raise InvalidRequest(f"{collection} already belongs to {owner}; grant it to another tenant")
        with self._database.writing() as connection:
            there = connection.execute(sql.select(GRANTS).where(_same_grant(owner, collection, reader))).first()
            if there is not None:
                return _grant(there)
            row = {"owner": owner, "collection": collection, "reader": reader, "created_at": _said(grant.created_at)}
            try:
                connection.execute(sql.insert(GRANTS).values(row))
            except IntegrityError as error:  # the row refers to the collection
                raise CollectionNotFound(collection) from error
            after = {"reader": reader}
            record(connection, Change(actor=by, action="grant.give", tenant=owner, subject=collection, after=after))
        return grant

    def take_back(self, owner: TenantName, collection: str, reader: str, *, by: Actor) -> None:
        """Revoke a grant. Raises `GrantNotFound`."""
        with self._database.writing() as connection:
            if not connection.execute(sql.delete(GRANTS).where(_same_grant(owner, collection, reader))).rowcount:
                raise GrantNotFound(f"{collection} for {reader}")
            gone = {"reader": reader}
            record(connection, Change(actor=by, action="grant.revoke", tenant=owner, subject=collection, before=gone))

    def given(self, owner: TenantName) -> Sequence[Grant]:
        """Return the grants an owner gave, by collection and reader."""
        return self._grants(GRANTS.c.owner == owner)

    def received(self, reader: TenantName) -> Sequence[Grant]:
        """Return the grants a reader received, by owner and collection."""
        return self._grants(GRANTS.c.reader == reader)

    def _grants(self, whose: sql.ColumnElement[bool]) -> Sequence[Grant]:
        columns = GRANTS.c
        wanted = sql.select(GRANTS).where(whose).order_by(columns.owner, columns.collection, columns.reader)
        with self._database.reading() as connection:
            return [_grant(row) for row in connection.execute(wanted)]


def add_tenant(connection: sql.Connection, name: str) -> None:
    """Insert the tenant unless it exists: a local writer of the data folder need not create one first."""
    if connection.execute(sql.select(TENANTS.c.name).where(TENANTS.c.name == name)).first() is None:
        connection.execute(sql.insert(TENANTS).values(name=name, created_at=_said(datetime.now(UTC))))


def _same_grant(owner: TenantName, collection: str, reader: str) -> sql.ColumnElement[bool]:
    columns = GRANTS.c
    return sql.and_(columns.owner == owner, columns.collection == collection, columns.reader == reader)


def _find(connection: sql.Connection, name: str) -> Tenant:
    row = connection.execute(sql.select(TENANTS).where(TENANTS.c.name == name)).first()
    if row is None:
        raise TenantNotFound(name)
    return _tenant(row)


def _said(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")


def _tenant(row: sql.Row[Any]) -> Tenant:
    return Tenant(
        name=TenantName(row.name),
        created_at=datetime.fromisoformat(row.created_at),
        disabled_at=None if row.disabled_at is None else datetime.fromisoformat(row.disabled_at),
    )


def _grant(row: sql.Row[Any]) -> Grant:
    return Grant(
        owner=TenantName(row.owner),
        collection=row.collection,
        reader=TenantName(row.reader),
        created_at=datetime.fromisoformat(row.created_at),
    )
