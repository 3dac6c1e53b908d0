"""Who is asking, and what may they do?

Rule 1: the tenant comes from the key and from nowhere else: only `Access` makes a `Principal`.
Rule 2: keys are compared in constant time, also where there is none of that id; a wrong one is looked up every time.
Rule 3: what is remembered of a key is looked up anew after half a second, so that a revocation holds within one, in
every process.
Rule 4: while no key was ever made nobody but this machine gets in: the service binds to loopback, and a browser that
was led here by somebody else's name for 127.0.0.1 (DNS rebinding) is turned away by its Host header. The first key ends
that, for good.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from winnow.retrieval.catalog.keys import ALL_SCOPES, Keys, KeyScope, KeyStanding, StoredKey, digest_of, id_of
from winnow.retrieval.errors import KeyRefused, NotPermitted, SettingInvalid, WinnowError
from winnow.retrieval.tenancy import DEFAULT_TENANT, DEPLOYMENT_KEY, LOOPBACK, Actor, TenantName

REMEMBERED_SECONDS: Final = 0.5  # half of the second within which a revocation holds; the rest is for the look-up
REMEMBERED_MAX: Final = 10_000  # keys; a few MB
USED_EVERY: Final = timedelta(minutes=1)  # how exact `last_used_at` is, and how seldom it is written
SEND_IT: Final = "send it as 'Authorization: Bearer KEY'"

_ONLY_ACCESS: Final = object()
_NOBODYS: Final = bytes(32)  # compared with where there is no key of that id; no text is known to have this digest

log = logging.getLogger(__name__)


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
        f"--host {host} lets other machines in, and there is no API key. Make one ('winnow keys bootstrap') or set one "
        "(WINNOW_API_KEY=...), or listen on 127.0.0.1"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: whose tenant's data they reach, what they may do, and what the audit log calls them."""

    tenant: TenantName
    scopes: frozenset[KeyScope]
    actor: Actor
    made_by: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        assert self.made_by is _ONLY_ACCESS, "only Access makes one, from what a request proves. This is a bug."

    @property
    def is_operator(self) -> bool:
        return KeyScope.OPERATOR in self.scopes

    def require(self, scope: KeyScope) -> None:
        """Raises `NotPermitted`."""
        if scope not in self.scopes:
            raise NotPermitted(f"this needs a key with the scope '{scope}'")


@dataclass(frozen=True, slots=True)
class _Remembered:
    stored: StoredKey
    until: float  # by the monotonic clock


class Access:
    """Turns a request's headers into a principal. Belongs to one event loop."""

    def __init__(
        self,
        keys: Keys,
        *,
        deployment_key: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`deployment_key` is a key that lies in no catalog: it may do everything, as tenant `default`."""
        self._keys = keys
        self._deployment_digest = None if deployment_key is None else digest_of(deployment_key)
        self._now = now
        self._monotonic = monotonic
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()
        self._needs_key = deployment_key is not None
        self._open_until = float("-inf")  # when it has to be looked up again whether a key was made
        self._used: OrderedDict[str, datetime] = OrderedDict()
        self._writing: set[asyncio.Task[None]] = set()
        self._finding: dict[tuple[str, bytes], asyncio.Future[StoredKey | None]] = {}

    async def principal(self, *, authorization: str | None, host: str | None) -> Principal:
        """Raises `KeyRefused`, `NotPermitted`, and what reading the catalog raises."""
        scheme, _, sent = (authorization or "").partition(" ")
        text = sent.strip()
        key_id = id_of(text)
        if not await self._is_key_needed(anew=key_id is not None):
            _refuse_foreign_name(host)
            return _principal(DEFAULT_TENANT, ALL_SCOPES, LOOPBACK)
        digest = digest_of(text)
        if scheme.lower() != "bearer":
            raise KeyRefused(SEND_IT)
        if self._deployment_digest is not None and hmac.compare_digest(digest, self._deployment_digest):
            return _principal(DEFAULT_TENANT, ALL_SCOPES, DEPLOYMENT_KEY)
        stored = None if key_id is None else await self._stored(key_id, digest)
        if stored is None:
            raise KeyRefused(SEND_IT)
        self._require_accepted(stored)
        self._note_use(stored.key.id)
        return _principal(stored.key.tenant, stored.key.scopes, Actor(f"key:{stored.key.id}"))

    async def settle(self) -> None:
        """Until everything that it writes in the background is written."""
        while self._writing:
            await asyncio.gather(*self._writing)

    async def _is_key_needed(self, *, anew: bool) -> bool:
        """Once it is, it stays so. Who sends a key is not let in as nobody for a moment after it was made."""
        if self._needs_key or (not anew and self._monotonic() < self._open_until):
            return self._needs_key
        asked_at = self._monotonic()
        if await asyncio.to_thread(self._keys.has_any):
            self._needs_key = True
        self._open_until = asked_at + REMEMBERED_SECONDS
        return self._needs_key

    async def _stored(self, key_id: str, digest: bytes) -> StoredKey | None:
        """None where it is not the key of that id.

        Only a right one is remembered, and only a right one is spared the look-up: else the time of a refusal would
        tell whether there is a key of that id. And no flood of guesses drives the others out.
        """
        asked_at = self._monotonic()
        known = self._remembered.get(key_id)
        remembered = _proven(known.stored if known is not None and asked_at < known.until else None, digest)
        if remembered is not None:
            return remembered
        stored = _proven(await self._found(key_id, digest), digest)
        if stored is not None:
            self._remembered.pop(key_id, None)
            self._remembered[key_id] = _Remembered(stored, asked_at + REMEMBERED_SECONDS)
            if len(self._remembered) > REMEMBERED_MAX:
                self._remembered.popitem(last=False)
        return stored

    async def _found(self, key_id: str, digest: bytes) -> StoredKey | None:
        """One look-up for all that send the very same key at the same time: a burst of one caller is one."""
        asked = key_id, digest
        if asked not in self._finding:
            finding = asyncio.ensure_future(asyncio.to_thread(self._keys.find, key_id))
            finding.add_done_callback(lambda _: self._finding.pop(asked))
            self._finding[asked] = finding
        return await asyncio.shield(self._finding[asked])

    def _require_accepted(self, stored: StoredKey) -> None:
        """Who has come so far has proven to hold the key, and may know what became of it. Raises `KeyRefused`."""
        standing = stored.key.standing(self._now())
        if standing is not KeyStanding.ACTIVE:
            raise KeyRefused(f"this one is {standing}")
        if stored.tenant_disabled:
            raise KeyRefused("its tenant is disabled")

    def _note_use(self, key_id: str) -> None:
        """At most once a minute, and nobody waits for it."""
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
        except WinnowError as error:  # a full disk is no reason to refuse a search
            log.warning("when key %s was used could not be written: %s", key_id, error)


def _proven(stored: StoredKey | None, digest: bytes) -> StoredKey | None:
    """It, if it is what was sent. Takes the same time where there is none."""
    is_equal = hmac.compare_digest(digest, _NOBODYS if stored is None else stored.digest)
    return stored if is_equal else None


def _principal(tenant: TenantName, scopes: frozenset[KeyScope], actor: Actor) -> Principal:
    return Principal(tenant=tenant, scopes=scopes, actor=actor, made_by=_ONLY_ACCESS)


def _refuse_foreign_name(host: str | None) -> None:
    if host is not None and not is_loopback(_without_port(host)):
        raise NotPermitted(f"without an API key the service answers to localhost only, not to {host!r}")


def _without_port(host: str) -> str:
    """`[::1]:8000` -> `[::1]`, `localhost:8000` -> `localhost`, `::1` -> `::1`."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host if host.count(":") > 1 else host.partition(":")[0]
