"""What is an API key, and which of them are there? The contract, and the form of a key.

    wk_<id>_<secret>       12 and 64 hexadecimal digits

The id finds the row and may be shown. The secret has 256 bits from the system's generator, is shown once, when the key
is made, and is kept nowhere: what is stored is the SHA-256 of the whole key, which for so much chance needs no salt and
no slowness. A key is never removed, only revoked, so that its id stays explained, and so that a deployment that has had
keys never falls open again.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from winnow.retrieval.tenancy import Actor, TenantName

ID_BYTES: Final = 6
SECRET_BYTES: Final = 32
_KEY: Final = re.compile(r"wk_([0-9a-f]{12})_[0-9a-f]{64}")


class KeyScope(StrEnum):
    """What a key may do. None of them contains another."""

    SEARCH = "search"  # search, rerank, and read what belongs to the tenant
    WRITE = "write"  # make, fill, change and remove the tenant's collections
    ADMIN = "admin"  # the tenant's keys, grants, instructions and limits
    OPERATOR = "operator"  # the deployment: its tenants, its metrics, everybody's audit log


TENANT_SCOPES: Final = frozenset({KeyScope.SEARCH, KeyScope.WRITE, KeyScope.ADMIN})
ALL_SCOPES: Final = frozenset(KeyScope)


class KeyStanding(StrEnum):
    """Whether a key is accepted, and if not, why."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key without its secret."""

    id: str
    tenant: TenantName
    scopes: frozenset[KeyScope]
    created_at: datetime  # UTC, as all of them
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None  # to the minute
    note: str = ""  # what it is for, in the words of whoever made it

    def standing(self, now: datetime) -> KeyStanding:
        if self.revoked_at is not None:
            return KeyStanding.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return KeyStanding.EXPIRED
        return KeyStanding.ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWish:
    """A key that is to be made."""

    scopes: frozenset[KeyScope]
    lifetime: timedelta | None = None  # None is forever
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A key in the only moment in which its secret is known."""

    key: ApiKey
    text: str  # what callers send: `wk_...`


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """What a key that somebody sends is compared with."""

    key: ApiKey
    digest: bytes  # SHA-256 of the whole key
    tenant_disabled: bool


class Keys(Protocol):
    """Makes keys and tells of them. Within a tenant the key of another one is not there: `KeyNotFound`.

    Every change is in the audit log. Times are the database's clients' own, in UTC.
    """

    def find(self, key_id: str) -> StoredKey | None:
        """Whoever's it is: the one question that is asked before the tenant is known."""
        ...

    def has_any(self) -> bool:
        """Whether a key was ever made here, also one that is accepted no longer."""
        ...

    def keys(self, tenant: TenantName) -> Sequence[ApiKey]:
        """In the order of their making."""
        ...

    def make(self, tenant: TenantName, wish: KeyWish, *, by: Actor) -> IssuedKey:
        """Raises `TenantNotFound`."""
        ...

    def rotate(self, tenant: TenantName, key_id: str, *, overlap: timedelta, by: Actor) -> IssuedKey:
        """A new key like this one, with its lifetime anew; the old one is accepted for `overlap` still.

        Raises `KeyNotFound`, also for one that is revoked or has expired.
        """
        ...

    def revoke(self, tenant: TenantName, key_id: str, *, by: Actor) -> ApiKey:
        """From now on, everywhere, and for good. Revoked again it stays as it was."""
        ...

    def used(self, key_id: str, *, at: datetime, least: timedelta) -> None:
        """Remembers it, unless somebody did so less than `least` before."""
        ...


def new_key_text() -> str:
    """A key that nobody else has."""
    return f"wk_{secrets.token_hex(ID_BYTES)}_{secrets.token_hex(SECRET_BYTES)}"


def id_of(text: str) -> str | None:
    """The id of a key that looks like one of ours."""
    match = _KEY.fullmatch(text)
    return match[1] if match else None


def digest_of(text: str) -> bytes:
    """What is stored of a key. Takes any text, also what no key can be."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
