"""API keys: their form, and what a key may do.

    wk_<id>_<secret>       12 and 64 hexadecimal digits

The id finds the row and may be shown. The secret has 256 bits from the system's generator, is shown once, when the key
is created, and is stored nowhere: the stored SHA-256 of the whole key needs no salt and no slow hash for that much
randomness. A key is never removed, only revoked: its id stays explained, and a deployment that had keys never becomes
open again.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from winnow.retrieval.tenancy import TenantName

ID_BYTES: Final = 6
SECRET_BYTES: Final = 32
_KEY: Final = re.compile(r"wk_([0-9a-f]{12})_[0-9a-f]{64}")


class KeyScope(StrEnum):
    """What a key may do. Scopes are independent."""

    SEARCH = "search"  # search, rerank, and read the tenant's data
    WRITE = "write"  # create, fill, change and remove the tenant's collections
    ADMIN = "admin"  # the tenant's keys, grants, instructions and limits
    OPERATOR = "operator"  # the deployment: tenants, metrics, the audit log of all tenants


TENANT_SCOPES: Final = frozenset({KeyScope.SEARCH, KeyScope.WRITE, KeyScope.ADMIN})
ALL_SCOPES: Final = frozenset(KeyScope)


class KeyStanding(StrEnum):
    """Whether a key is accepted and, if not, why."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDefaults:
    """What a key's requests mean where they do not say."""

    instruction: str | None = None  # a text, or NAME or NAME@VERSION of the library
    collection: str | None = None  # NAME, or OWNER/NAME of a granted one


NO_DEFAULTS: Final = KeyDefaults()


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
    note: str = ""  # its purpose, as given by its creator
    defaults: KeyDefaults = NO_DEFAULTS

    def standing(self, now: datetime) -> KeyStanding:
        if self.revoked_at is not None:
            return KeyStanding.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return KeyStanding.EXPIRED
        return KeyStanding.ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWish:
    """The properties of a key to be created."""

    scopes: frozenset[KeyScope]
    lifetime: timedelta | None = None  # None is forever
    note: str = ""
    defaults: KeyDefaults = NO_DEFAULTS


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A new key with its secret, which is known only now."""

    key: ApiKey
    text: str  # the text that clients send: `wk_...`


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """The stored form of a key, to compare with a presented one."""

    key: ApiKey
    digest: bytes  # SHA-256 of the whole key
    tenant_disabled: bool


def new_key_text() -> str:
    """Generate a unique key."""
    return f"wk_{secrets.token_hex(ID_BYTES)}_{secrets.token_hex(SECRET_BYTES)}"


def id_of(text: str) -> str | None:
    """Return the id of a text in the form of a key, or None."""
    match = _KEY.fullmatch(text)
    return match[1] if match else None


def digest_of(text: str) -> bytes:
    """Return the stored digest of a key. Accepts any text, even one that cannot be a key."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
