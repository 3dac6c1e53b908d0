"""The webhooks of tenants, in SQL."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import sqlalchemy as sql

from winnow.retrieval.catalog.sql.alerts.outbox import give_up_waiting
from winnow.retrieval.catalog.sql.alerts.tables import WEBHOOKS, said
from winnow.retrieval.catalog.sql.audit import Change, record
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.stability_alerts import Webhook
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.records import JsonValue
from winnow.retrieval.tenancy import Actor, TenantName

SECRET_PREFIX: Final = "whsec_"  # noqa: S105  what every secret begins with
_SECRET_BYTES: Final = 32


class SqlWebhooks:
    """The webhook of each tenant that has one. Changes are on the disk when a call returns, and in the audit log.

    The log names a webhook by its host: a path may be a secret. Its calls also raise what `SqlDatabase` raises.
    """

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def find(self, tenant: TenantName) -> Webhook | None:
        with self._database.reading() as connection:
            return _find(connection, tenant)

    def put(self, tenant: TenantName, url: str, *, by: Actor) -> tuple[Webhook, bool]:
        """Set the address; return the webhook, and whether its secret is new. Another address keeps the secret."""
        with self._database.writing() as connection:
            before = _find(connection, tenant)
            if before is None:
                row = {"tenant": tenant, "url": url, "secret": _new_secret(), "created_at": said(datetime.now(UTC))}
                connection.execute(sql.insert(WEBHOOKS).values(row))
            else:
                connection.execute(sql.update(WEBHOOKS).where(WEBHOOKS.c.tenant == tenant).values(url=url))
            _audit(connection, "webhook.set", tenant, by, before=before, after={"host": _host(url)})
            return _require(connection, tenant), before is None

    def rotate(self, tenant: TenantName, *, overlap: timedelta, by: Actor) -> Webhook:
        """Create another secret. The previous one signs as well during the overlap. Raises `InvalidRequest`."""
        with self._database.writing() as connection:
            before = _require(connection, tenant)
            until = datetime.now(UTC) + overlap
            values = {"secret": _new_secret(), "previous_secret": before.secret, "previous_until": said(until)}
            connection.execute(sql.update(WEBHOOKS).where(WEBHOOKS.c.tenant == tenant).values(values))
            after: dict[str, JsonValue] = {"host": _host(before.url), "overlap_seconds": overlap.total_seconds()}
            _audit(connection, "webhook.rotate", tenant, by, before=before, after=after)
            return _require(connection, tenant)

    def remove(self, tenant: TenantName, *, by: Actor) -> None:
        """Remove a webhook, and give up its waiting deliveries; does nothing if the tenant has none."""
        with self._database.writing() as connection:
            before = _find(connection, tenant)
            if before is None:
                return
            connection.execute(sql.delete(WEBHOOKS).where(WEBHOOKS.c.tenant == tenant))
            give_up_waiting(connection, tenant, problem="the webhook was removed", now=datetime.now(UTC))
            _audit(connection, "webhook.remove", tenant, by, before=before, after=None)


def _new_secret() -> str:
    return SECRET_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _audit(
    connection: sql.Connection,
    action: str,
    tenant: TenantName,
    by: Actor,
    *,
    before: Webhook | None,
    after: dict[str, JsonValue] | None,
) -> None:
    known = None if before is None else {"host": _host(before.url)}
    record(connection, Change(actor=by, action=action, tenant=tenant, subject="webhook", before=known, after=after))


def _require(connection: sql.Connection, tenant: TenantName) -> Webhook:
    found = _find(connection, tenant)
    if found is None:
        raise InvalidRequest("the tenant has no webhook; set its address first")
    return found


def _find(connection: sql.Connection, tenant: TenantName) -> Webhook | None:
    row = connection.execute(sql.select(WEBHOOKS).where(WEBHOOKS.c.tenant == tenant)).first()
    return None if row is None else _webhook(tenant, row)


def _webhook(tenant: TenantName, row: sql.Row[Any]) -> Webhook:
    return Webhook(
        tenant=tenant,
        url=row.url,
        created_at=datetime.fromisoformat(row.created_at),
        secret=row.secret,
        previous_secret=row.previous_secret,
        previous_until=None if row.previous_until is None else datetime.fromisoformat(row.previous_until),
    )
