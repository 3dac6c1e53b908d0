"""API keys in SQL, without their secrets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sql

from winnow.retrieval.catalog.keys import (
    ApiKey,
    IssuedKey,
    KeyDefaults,
    KeyScope,
    KeyStanding,
    KeyWish,
    StoredKey,
    digest_of,
    id_of,
    new_key_text,
)
from winnow.retrieval.catalog.sql.audit import Change, record
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.tables import Words, metadata
from winnow.retrieval.catalog.sql.tenants import TENANTS
from winnow.retrieval.errors import KeyNotFound, LimitExceeded, TenantNotFound
from winnow.retrieval.limits import KEYS_PER_TENANT_MAX
from winnow.retrieval.records import JsonValue
from winnow.retrieval.tenancy import Actor, TenantName

API_KEYS = sql.Table(
    "api_keys",
    metadata,
    sql.Column("id", Words, primary_key=True),
    sql.Column("tenant", sql.ForeignKey("tenants.name"), nullable=False, index=True),
    sql.Column("digest", sql.LargeBinary, nullable=False),  # SHA-256 of the whole key
    sql.Column("scopes", Words, nullable=False),  # sorted, separated by spaces
    sql.Column("created_at", Words, nullable=False),  # UTC, ISO 8601, as all times here
    sql.Column("expires_at", Words),
    sql.Column("revoked_at", Words),
    sql.Column("last_used_at", Words),
    sql.Column("note", Words, nullable=False),
    sql.Column("instruction", Words),
    sql.Column("collection", Words),
)


class SqlKeys:
    """Creates and lists keys. Keys of another tenant count as missing: `KeyNotFound`.

    Every change is in the audit log. Times are those of the database's clients, in UTC.
    """

    def __init__(self, database: SqlDatabase, *, keys_max: int = KEYS_PER_TENANT_MAX) -> None:
        """`keys_max` is the maximum number of valid keys of one tenant."""
        self._database = database
        self._keys_max = keys_max

    def find(self, key_id: str) -> StoredKey | None:
        """Find a key of any tenant: the only lookup before the tenant is known."""
        wanted = (
            sql.select(API_KEYS, TENANTS.c.disabled_at)
            .join(TENANTS, TENANTS.c.name == API_KEYS.c.tenant)
            .where(API_KEYS.c.id == key_id)
        )
        with self._database.reading() as connection:
            row = connection.execute(wanted).first()
        if row is None:
            return None
        return StoredKey(key=_key(row), digest=row.digest, tenant_disabled=row.disabled_at is not None)

    def has_any(self) -> bool:
        """Return whether a key was ever created here, including keys no longer accepted."""
        with self._database.reading() as connection:
            return connection.execute(sql.select(API_KEYS.c.id).limit(1)).first() is not None

    def keys(self, tenant: TenantName) -> Sequence[ApiKey]:
        """Return the tenant's keys in order of creation."""
        columns = API_KEYS.c
        wanted = sql.select(API_KEYS).where(columns.tenant == tenant).order_by(columns.created_at, columns.id)
        with self._database.reading() as connection:
            return [_key(row) for row in connection.execute(wanted)]

    def make(self, tenant: TenantName, wish: KeyWish, *, by: Actor) -> IssuedKey:
        """Create a key. Raises `TenantNotFound`."""
        issued = _issue(tenant, wish)
        with self._database.writing() as connection:
            _require_tenant(connection, tenant)
            self._require_room(connection, tenant)
            _add(connection, issued)
            _record(connection, "key.create", by, after=issued.key)
        return issued

    def rotate(self, tenant: TenantName, key_id: str, *, overlap: timedelta, by: Actor) -> IssuedKey:
        """Create a key with the same properties and a new lifetime; the old key stays valid for `overlap`.

        Raises `KeyNotFound`, also for a revoked or expired key.
        """
        now = datetime.now(UTC)
        with self._database.writing() as connection:
            old = _find(connection, tenant, key_id)
            if old.standing(now) is not KeyStanding.ACTIVE:
                raise KeyNotFound(f"{key_id} is {old.standing(now)}")
            lifetime = None if old.expires_at is None else old.expires_at - old.created_at
            self._require_room(connection, tenant)
            issued = _issue(tenant, KeyWish(scopes=old.scopes, lifetime=lifetime, note=old.note, defaults=old.defaults))
            _add(connection, issued)
            ends = min(now + overlap, old.expires_at or now + overlap)
            connection.execute(_update(key_id).values(expires_at=_said(ends)))
            _record(connection, "key.create", by, after=issued.key)
            _record(connection, "key.expire", by, before=old, after=replace(old, expires_at=ends))
        return issued

    def revoke(self, tenant: TenantName, key_id: str, *, by: Actor) -> ApiKey:
        """Revoke a key at once, everywhere, for good. Revoking it again changes nothing."""
        with self._database.writing() as connection:
            key = _find(connection, tenant, key_id)
            if key.revoked_at is not None:
                return key
            revoked = replace(key, revoked_at=datetime.now(UTC))
            connection.execute(_update(key_id).values(revoked_at=_said(revoked.revoked_at)))
            _record(connection, "key.revoke", by, before=key, after=revoked)
            return revoked

    def used(self, key_id: str, *, at: datetime, least: timedelta) -> None:
        """Record the use of a key, unless a use less than `least` before is recorded."""
        last = API_KEYS.c.last_used_at
        is_due = sql.or_(last.is_(None), last <= _said(at - least))
        with self._database.writing() as connection:
            connection.execute(_update(key_id).where(is_due).values(last_used_at=_said(at)))

    def _require_room(self, connection: sql.Connection, tenant: TenantName) -> None:
        columns = API_KEYS.c
        lives = sql.or_(columns.expires_at.is_(None), columns.expires_at > _said(datetime.now(UTC)))
        accepted = sql.and_(columns.tenant == tenant, columns.revoked_at.is_(None), lives)
        count = connection.scalar(sql.select(sql.func.count()).select_from(API_KEYS).where(accepted)) or 0
        if count >= self._keys_max:
            raise LimitExceeded(f"{tenant} already has {count} valid keys; revoke one first")


def _issue(tenant: TenantName, wish: KeyWish) -> IssuedKey:
    text, now = new_key_text(), datetime.now(UTC)
    key_id = id_of(text)
    assert key_id is not None, "a new key has the form of a key. This is a bug."
    key = ApiKey(
        id=key_id,
        tenant=tenant,
        scopes=wish.scopes,
        created_at=now,
        expires_at=None if wish.lifetime is None else now + wish.lifetime,
        note=wish.note,
        defaults=wish.defaults,
    )
    return IssuedKey(key=key, text=text)


def _require_tenant(connection: sql.Connection, tenant: TenantName) -> None:
    if connection.execute(sql.select(TENANTS.c.name).where(TENANTS.c.name == tenant)).first() is None:
        raise TenantNotFound(tenant)


def _add(connection: sql.Connection, issued: IssuedKey) -> None:
    key = issued.key
    connection.execute(
        sql.insert(API_KEYS).values(
            id=key.id,
            tenant=key.tenant,
            digest=digest_of(issued.text),
            scopes=" ".join(sorted(key.scopes)),
            created_at=_said(key.created_at),
            expires_at=_said(key.expires_at),
            note=key.note,
            instruction=key.defaults.instruction,
            collection=key.defaults.collection,
        )
    )


def _find(connection: sql.Connection, tenant: TenantName, key_id: str) -> ApiKey:
    mine = sql.and_(API_KEYS.c.id == key_id, API_KEYS.c.tenant == tenant)
    row = connection.execute(sql.select(API_KEYS).where(mine)).first()
    if row is None:
        raise KeyNotFound(key_id)
    return _key(row)


def _update(key_id: str) -> sql.Update:
    return sql.update(API_KEYS).where(API_KEYS.c.id == key_id)


def _record(connection: sql.Connection, action: str, by: Actor, *, after: ApiKey, before: ApiKey | None = None) -> None:
    change = Change(
        actor=by,
        action=action,
        tenant=after.tenant,
        subject=after.id,
        before=None if before is None else _properties(before),
        after=_properties(after),
    )
    record(connection, change)


def _properties(key: ApiKey) -> Mapping[str, JsonValue]:
    """Return what the audit log records: not note and instruction, because nothing in the log can be removed."""
    collection = {} if key.defaults.collection is None else {"collection": key.defaults.collection}
    return {
        "scopes": list[JsonValue](sorted(key.scopes)),
        "expires_at": _said(key.expires_at),
        "revoked_at": _said(key.revoked_at),
        **collection,
    }


def _said(moment: datetime | None) -> str | None:
    """Format a time with fixed length, so that texts sort by time."""
    return None if moment is None else moment.isoformat(timespec="microseconds")


def _parse_time(said: str | None) -> datetime | None:
    return None if said is None else datetime.fromisoformat(said)


def _key(row: sql.Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        tenant=TenantName(row.tenant),
        scopes=frozenset(KeyScope(each) for each in row.scopes.split()),
        created_at=datetime.fromisoformat(row.created_at),
        expires_at=_parse_time(row.expires_at),
        revoked_at=_parse_time(row.revoked_at),
        last_used_at=_parse_time(row.last_used_at),
        note=row.note,
        defaults=KeyDefaults(instruction=row.instruction, collection=row.collection),
    )
