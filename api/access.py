"""Who is asking, and may they? One key for now, or none on the loopback.

Rule 1: the tenant comes from the key and from nowhere else. Rule 2: keys are compared in constant time.
Rule 3: without a key nobody but this machine gets in: the service binds to loopback, and a browser that was led here
by somebody else's name for 127.0.0.1 (DNS rebinding) is turned away by its Host header.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass

from retrieval.catalog import DEFAULT_TENANT
from retrieval.errors import KeyRefused, NotPermitted, SettingInvalid


def is_loopback(host: str) -> bool:
    """Whether this address or name can only mean this machine."""
    bare = host.strip().removeprefix("[").removesuffix("]")
    if bare.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def refuse_open_door(host: str, *, has_key: bool) -> None:
    """Raises `SettingInvalid` where the service would be open to others without a key."""
    if has_key or is_loopback(host):
        return
    raise SettingInvalid(
        f"--host {host} lets other machines in, and no API key is set. Set one (WINNOW_API_KEY=...), "
        "or listen on 127.0.0.1"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Turns a request's headers into a tenant."""

    key_digest: bytes | None  # SHA-256 of the key; None lets this machine in without one

    @classmethod
    def by_key(cls, key: str | None) -> Access:
        return cls(key_digest=_digest(key) if key is not None else None)

    def tenant_of(self, *, authorization: str | None, host: str | None) -> str:
        """Raises `KeyRefused`, `NotPermitted`."""
        if self.key_digest is None:
            self._refuse_foreign_name(host)
            return DEFAULT_TENANT
        scheme, _, key = (authorization or "").partition(" ")
        if not hmac.compare_digest(_digest(key.strip()), self.key_digest) or scheme.lower() != "bearer":
            raise KeyRefused("send it as 'Authorization: Bearer KEY'")
        return DEFAULT_TENANT

    def _refuse_foreign_name(self, host: str | None) -> None:
        if host is not None and not is_loopback(_without_port(host)):
            raise NotPermitted(f"without an API key the service answers to localhost only, not to {host!r}")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _without_port(host: str) -> str:
    """`[::1]:8000` -> `[::1]`, `localhost:8000` -> `localhost`, `::1` -> `::1`."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host if host.count(":") > 1 else host.partition(":")[0]
