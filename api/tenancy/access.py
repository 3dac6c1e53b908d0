"""Authenticates requests: which tenant a key belongs to, and what it may do.

Rule 1: the tenant comes from the key alone: only `Access` creates a `Principal`.
Rule 2: keys are compared in constant time, even if the id is unknown; a wrong key is looked up every time.
Rule 3: a cached key is looked up again after half a second, unless the catalog tells that nothing was committed since.
So a revocation takes effect within one second in every process.
Rule 4: until a first key is created, only this machine has access: the service binds to loopback, and the Host header
check refuses a browser that another site led here by a name for 127.0.0.1 (DNS rebinding). The first key ends open
access for good.
"""

from __future__ import annotations

import asyncio
import functools
import hmac
import ipaddress
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from winnow.retrieval.catalog.keys import (
    ALL_SCOPES,
    NO_DEFAULTS,
    KeyDefaults,
    KeyScope,
    KeyStanding,
    StoredKey,
    digest_of,
    id_of,
)
from winnow.retrieval.catalog.sql.keys import SqlKeys
from winnow.retrieval.errors import KeyRefused, NotPermitted, SettingInvalid, WinnowError
from winnow.retrieval.tenancy import DEFAULT_TENANT, DEPLOYMENT_KEY, LOOPBACK, Actor, TenantName

REMEMBERED_SECONDS: Final = 0.5  # half of the second within which a revocation takes effect; the rest is for the lookup
REMEMBERED_MAX: Final = 10_000  # keys; a few MB
USED_EVERY: Final = timedelta(minutes=1)  # precision of `last_used_at`, and the interval of writing it
SEND_IT: Final = "send a valid key as 'Authorization: Bearer KEY'"

_ONLY_ACCESS: Final = object()
_NOBODYS: Final = bytes(32)  # compared with if the id is unknown; no text is known to have this digest

Found = TypeVar("Found")

log = logging.getLogger(__name__)


@functools.lru_cache(64)  # names that callers choose
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
    """Raise `SettingInvalid` if other machines could use the service without a key."""
    if has_key or is_loopback(host):
        return
    raise SettingInvalid(
        f"--host {host} is open to other machines, but there is no API key. Create one ('winnow keys bootstrap'), set "
        "one (WINNOW_API_KEY=...), or listen on 127.0.0.1"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An authenticated caller: its tenant, its scopes, and its name in the audit log."""

    tenant: TenantName
    scopes: frozenset[KeyScope]
    actor: Actor
    defaults: KeyDefaults = NO_DEFAULTS
    made_by: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        assert self.made_by is _ONLY_ACCESS, "only Access creates principals. This is a bug."

    @property
    def is_operator(self) -> bool:
        return KeyScope.OPERATOR in self.scopes

    def require(self, scope: KeyScope) -> None:
        """Raise `NotPermitted` if the caller lacks this scope."""
        if scope not in self.scopes:
            raise NotPermitted(f"this needs a key with the scope '{scope}'")


@dataclass(frozen=True, slots=True)
class _Remembered:
    stored: StoredKey
    until: float  # by the monotonic clock
    version: int | None  # of the catalog, from before it was read


class Access:
    """Turns a request's headers into a principal. Belongs to one event loop."""

    def __init__(
        self,
        keys: SqlKeys,
        *,
        deployment_key: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        catalog_version: Callable[[], int | None] = lambda: None,
    ) -> None:
        """`deployment_key` is a key outside the catalog: it may do everything, as tenant `default`.

        As long as `catalog_version` (that of `SqlDatabase`) stays, what was read is true and is not read again.
        """
        self._keys = keys
        self._catalog_version = catalog_version
        self._deployment_digest = None if deployment_key is None else digest_of(deployment_key)
        self._now = now
        self._monotonic = monotonic
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()
        self._needs_key = deployment_key is not None
        self._open_until = float("-inf")  # when to check again whether a key exists
        self._open_version: int | None = None
        self._used: OrderedDict[str, datetime] = OrderedDict()
        self._writing: set[asyncio.Task[None]] = set()
        self._finding: dict[tuple[str, bytes], asyncio.Future[tuple[int | None, StoredKey | None]]] = {}

    async def principal(self, *, authorization: str | None, host: str | None) -> Principal:
        """Authenticate a request. Raises `KeyRefused`, `NotPermitted`, and what reading the catalog raises."""
        scheme, _, sent = (authorization or "").partition(" ")
        text = sent.strip()
        key_id = id_of(text)
        if not await self._is_key_needed(recheck=key_id is not None):
            _refuse_foreign_name(host)
            return _principal(DEFAULT_TENANT, ALL_SCOPES, LOOPBACK)
        digest = digest_of(text)
        if scheme.lower() != "bearer":
            raise KeyRefused(SEND_IT)
        if self._deployment_digest is not None and hmac.compare_digest(digest, self._deployment_digest):
            return _principal(DEFAULT_TENANT, ALL_SCOPES, DEPLOYMENT_KEY)
        stored = None if key_id is None else await self._find_matching(key_id, digest)
        if stored is None:
            raise KeyRefused(SEND_IT)
        self._require_accepted(stored)
        self._note_use(stored.key.id)
        return replace(
            _principal(stored.key.tenant, stored.key.scopes, Actor(f"key:{stored.key.id}")),
            defaults=stored.key.defaults,
        )

    async def settle(self) -> None:
        """Wait until all background writes are done."""
        while self._writing:
            await asyncio.gather(*self._writing)

    async def _is_key_needed(self, *, recheck: bool) -> bool:
        """Whether a key is needed; once true, always true. With `recheck` a first key counts at once."""
        if self._needs_key or (not recheck and self._is_true(self._open_until, self._open_version)):
            return self._needs_key
        asked_at = self._monotonic()
        version, has_any = await asyncio.to_thread(self._read, self._keys.has_any)
        if has_any:
            self._needs_key = True
        self._open_until, self._open_version = asked_at + REMEMBERED_SECONDS, version
        return self._needs_key

    def _is_true(self, until: float, version: int | None) -> bool:
        """Whether what was read still is: until then in any case, and as long as nothing was committed."""
        return self._monotonic() < until or (version is not None and version == self._catalog_version())

    def _read(self, read: Callable[[], Found]) -> tuple[int | None, Found]:
        """Also return a version of the catalog that is not newer than what is read. Blocks."""
        return self._catalog_version(), read()

    async def _find_matching(self, key_id: str, digest: bytes) -> StoredKey | None:
        """Return the stored key if it matches, or None.

        Only a matching key is cached, and only a match skips the lookup: otherwise the time of a refusal would tell
        whether the id exists. A flood of guesses cannot evict other keys.
        """
        asked_at = self._monotonic()
        known = self._remembered.get(key_id)
        is_known = known is not None and self._is_true(known.until, known.version)
        remembered = _match_digest(known.stored if known is not None and is_known else None, digest)
        if remembered is not None:
            return remembered
        version, found = await self._find(key_id, digest)
        stored = _match_digest(found, digest)
        if stored is not None:
            self._remembered.pop(key_id, None)
            self._remembered[key_id] = _Remembered(stored, asked_at + REMEMBERED_SECONDS, version)
            if len(self._remembered) > REMEMBERED_MAX:
                self._remembered.popitem(last=False)
        return stored

    async def _find(self, key_id: str, digest: bytes) -> tuple[int | None, StoredKey | None]:
        """Share one lookup between requests that send the same key at the same time."""
        asked = key_id, digest
        if asked not in self._finding:
            finding = asyncio.ensure_future(asyncio.to_thread(self._read, partial(self._keys.find, key_id)))
            finding.add_done_callback(lambda _: self._finding.pop(asked))
            self._finding[asked] = finding
        return await asyncio.shield(self._finding[asked])

    def _require_accepted(self, stored: StoredKey) -> None:
        """Check that the key is active. The caller has proven to hold it, so it may know why. Raises `KeyRefused`."""
        standing = stored.key.standing(self._now())
        if standing is not KeyStanding.ACTIVE:
            raise KeyRefused(f"this key is {standing}")
        if stored.tenant_disabled:
            raise KeyRefused("the key's tenant is disabled")

    def _note_use(self, key_id: str) -> None:
        """Record the use in the background, at most once a minute."""
        now, last = self._now(), self._used.pop(key_id, None)
        self._used[key_id] = now if last is None or now - last >= USED_EVERY else last
        if len(self._used) > REMEMBERED_MAX:
            self._used.popitem(last=False)
        if self._used[key_id] is now:
            task = asyncio.create_task(self._write_use(key_id, now))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def _write_use(self, key_id: str, at: datetime) -> None:
        try:
            await asyncio.to_thread(self._keys.used, key_id, at=at, least=USED_EVERY)
        except WinnowError as error:  # a full disk must not refuse a search
            log.warning("the last use of key %s could not be recorded: %s", key_id, error)


def _match_digest(stored: StoredKey | None, digest: bytes) -> StoredKey | None:
    """Return the key if the digest matches. Takes the same time if there is none."""
    is_equal = hmac.compare_digest(digest, _NOBODYS if stored is None else stored.digest)
    return stored if is_equal else None


def _principal(tenant: TenantName, scopes: frozenset[KeyScope], actor: Actor) -> Principal:
    return Principal(tenant=tenant, scopes=scopes, actor=actor, made_by=_ONLY_ACCESS)


def _refuse_foreign_name(host: str | None) -> None:
    if host is not None and not is_loopback(_without_port(host)):
        raise NotPermitted(f"without an API key the service answers only to localhost, not to {host!r}")


def _without_port(host: str) -> str:
    """`[::1]:8000` -> `[::1]`, `localhost:8000` -> `localhost`, `::1` -> `::1`."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host if host.count(":") > 1 else host.partition(":")[0]
