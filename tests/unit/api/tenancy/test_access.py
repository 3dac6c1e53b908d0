"""Nobody gets in who should not: by key, or from this machine while there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from winnow.api.tenancy.access import REMEMBERED_SECONDS, Access, Principal, is_loopback, refuse_open_door
from winnow.retrieval.catalog.keys import (
    ALL_SCOPES,
    ApiKey,
    IssuedKey,
    KeyScope,
    KeyWish,
    StoredKey,
    digest_of,
    id_of,
    new_key_text,
)
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.keys import SqlKeys
from winnow.retrieval.catalog.sql.tenants import SqlTenants
from winnow.retrieval.errors import KeyRefused, NotPermitted, SettingInvalid, WinnowError
from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT, DEPLOYMENT_KEY, LOOPBACK, TenantName

SEARCH = KeyWish(scopes=frozenset({KeyScope.SEARCH}))


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        self.seconds = 100.0

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds


class CountedKeys:
    """How often a catalog is asked. Implements what `Access` needs of `SqlKeys`."""

    def __init__(self, keys: SqlKeys) -> None:
        self.keys = keys
        self.found: list[str] = []
        self.asked = 0
        self.used_at: list[datetime] = []
        self.disk_is_full = False

    def find(self, key_id: str) -> StoredKey | None:
        self.found.append(key_id)
        return self.keys.find(key_id)

    def has_any(self) -> bool:
        self.asked += 1
        return self.keys.has_any()

    def used(self, key_id: str, *, at: datetime, least: timedelta) -> None:
        if self.disk_is_full:
            raise WinnowError("no room")
        self.used_at.append(at)
        self.keys.used(key_id, at=at, least=least)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.sqlite"


@pytest.fixture
def database(path: Path) -> Iterator[SqlDatabase]:
    opened = SqlDatabase.open(path)
    yield opened
    opened.close()


@pytest.fixture
def keys(database: SqlDatabase) -> SqlKeys:
    return SqlKeys(database)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counted(keys: SqlKeys) -> CountedKeys:
    return CountedKeys(keys)


@pytest.fixture
def access(counted: CountedKeys, clock: Clock) -> Access:
    return Access(counted, now=lambda: clock.now, monotonic=lambda: clock.seconds)


def made(keys: SqlKeys, wish: KeyWish = SEARCH) -> IssuedKey:
    return keys.make(DEFAULT_TENANT, wish, by=COMMAND_LINE)


async def asked(access: Access, key: str | None, *, host: str = "search.example.org") -> Principal:
    principal = await access.principal(authorization=None if key is None else f"Bearer {key}", host=host)
    await access.settle()
    return principal


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "LOCALHOST", "::1", "[::1]"])
def test_loopback_is_recognised(host: str) -> None:
    """Names and addresses that can only mean this machine."""
    assert is_loopback(host)
    refuse_open_door(host, has_key=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "localhost.example.org", "127.0.0.1.nip.io", ""])  # noqa: S104
def test_other_addresses_need_a_key(host: str) -> None:
    """Without a key the service would be open to everybody who can reach it."""
    with pytest.raises(SettingInvalid, match="WINNOW_API_KEY"):
        refuse_open_door(host, has_key=False)
    refuse_open_door(host, has_key=True)


@pytest.mark.parametrize("header", [None, "", "secret", "Bearer", "Bearer wrong", "Basic secret", "Bearer secret2"])
async def test_a_wrong_deployment_key_is_refused(keys: SqlKeys, header: str | None) -> None:
    """The key must be whole, and sent the way that is documented."""
    with pytest.raises(KeyRefused):
        await Access(keys, deployment_key="secret").principal(authorization=header, host="localhost")


@pytest.mark.parametrize("header", ["Bearer secret", "bearer secret", "Bearer  secret "])
async def test_the_deployment_key_opens_everything(keys: SqlKeys, header: str) -> None:
    """From anywhere, beside the keys of the catalog and as before there were any."""
    made(keys)
    principal = await Access(keys, deployment_key="secret").principal(authorization=header, host="search.example.org")
    assert (principal.tenant, principal.scopes, principal.actor) == ("default", ALL_SCOPES, DEPLOYMENT_KEY)
    assert principal.is_operator


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "::1", None])
async def test_while_there_is_no_key_this_machine_may_ask(access: Access, host: str | None) -> None:
    """By any of its names, with or without a port; whatever key it sends."""
    for header in (None, "Bearer anything"):
        principal = await access.principal(authorization=header, host=host)
        assert (principal.tenant, principal.scopes, principal.actor) == ("default", ALL_SCOPES, LOOPBACK)


async def test_while_there_is_no_key_a_foreign_name_is_turned_away(access: Access) -> None:
    """A web page whose name was pointed at 127.0.0.1 would otherwise read everything (DNS rebinding)."""
    with pytest.raises(NotPermitted):
        await access.principal(authorization=None, host="evil.example.org:8000")


async def test_the_first_key_closes_the_door_for_good(
    access: Access, keys: SqlKeys, counted: CountedKeys, clock: Clock
) -> None:
    """Within half a second, and also when no key is left that would be accepted."""
    for _ in range(3):
        await access.principal(authorization=None, host="localhost")
    assert counted.asked == 1
    issued = made(keys)
    clock.pass_(REMEMBERED_SECONDS)
    with pytest.raises(KeyRefused):
        await access.principal(authorization=None, host="localhost")
    keys.revoke(DEFAULT_TENANT, issued.key.id, by=COMMAND_LINE)
    clock.pass_(3_600)
    with pytest.raises(KeyRefused):
        await access.principal(authorization=None, host="localhost")
    assert counted.asked == 2


async def test_the_first_key_is_known_by_who_sends_it_at_once(access: Access, keys: SqlKeys) -> None:
    """Though a moment ago there was none: it would act as tenant default, with every scope."""
    assert (await asked(access, None, host="localhost")).scopes == ALL_SCOPES
    issued = made(keys)
    assert (await asked(access, issued.text, host="localhost")).scopes == SEARCH.scopes


async def test_a_key_is_its_tenant_its_scopes_and_a_name_in_the_audit_log(
    access: Access, database: SqlDatabase
) -> None:
    """And nothing that it says beside changes that."""
    SqlTenants(database).make("other", by=COMMAND_LINE)
    wish = KeyWish(scopes=frozenset({KeyScope.WRITE, KeyScope.SEARCH}))
    issued = SqlKeys(database).make(TenantName("other"), wish, by=COMMAND_LINE)
    principal = await asked(access, issued.text)
    assert (principal.tenant, principal.scopes) == ("other", wish.scopes)
    assert principal.actor == f"key:{issued.key.id}"
    assert not principal.is_operator
    principal.require(KeyScope.WRITE)
    with pytest.raises(NotPermitted, match="'admin'"):
        principal.require(KeyScope.ADMIN)


def test_nobody_else_makes_a_principal() -> None:
    """Neither by a mistake nor by copying what the class shows."""
    with pytest.raises(AssertionError, match="only Access"):
        Principal(tenant=DEFAULT_TENANT, scopes=ALL_SCOPES, actor=LOOPBACK, made_by=object())


def damaged(text: str) -> Iterator[str]:
    """Keys that are almost this one."""
    prefix, key_id, secret = text.split("_")
    other = new_key_text().split("_")
    yield f"{prefix}_{key_id}_{other[2]}"
    yield f"{prefix}_{other[1]}_{secret}"
    yield f"xx_{key_id}_{secret}"
    yield f"{key_id}_{secret}"
    yield secret
    yield text[:-1]
    yield text + "0"
    yield text.upper()
    yield f"{prefix}_{key_id}_"
    yield f"{prefix}_{key_id}_{secret[:-1]}{'0' if secret[-1] != '0' else '1'}"
    yield digest_of(text).hex()


async def test_an_almost_right_key_is_refused(access: Access, keys: SqlKeys) -> None:
    """With the same words, whatever is wrong about it."""
    issued = made(keys)
    words = set()
    for text in damaged(issued.text):
        with pytest.raises(KeyRefused) as refused:
            await asked(access, text)
        words.add(refused.value.message)
    assert len(words) == 1
    assert (await asked(access, issued.text)).tenant == "default"


async def test_a_wrong_key_is_looked_up_every_time_whether_there_is_one_of_its_id_or_not(
    access: Access, keys: SqlKeys, counted: CountedKeys
) -> None:
    """Also while the right one is remembered: else the time of a refusal would tell which ids there are."""
    issued, other = made(keys), new_key_text()
    await asked(access, issued.text)
    wrong = f"wk_{issued.key.id}_{other.split('_')[2]}"
    counted.found.clear()
    for text in (wrong, other, wrong, other):
        with pytest.raises(KeyRefused):
            await asked(access, text)
    assert counted.found == [issued.key.id, id_of(other)] * 2
    await asked(access, issued.text)
    assert len(counted.found) == 4


async def test_a_key_ends_at_its_time(access: Access, keys: SqlKeys, clock: Clock) -> None:
    """Also while it is remembered."""
    issued = made(keys, KeyWish(scopes=ALL_SCOPES, lifetime=timedelta(days=1)))
    assert issued.key.expires_at is not None
    clock.now = issued.key.expires_at - timedelta(microseconds=1)
    await asked(access, issued.text)
    clock.now = issued.key.expires_at
    with pytest.raises(KeyRefused, match="expired"):
        await asked(access, issued.text)


def _revoke(path: Path, key_id: str) -> None:
    database = SqlDatabase.open(path)
    SqlKeys(database).revoke(DEFAULT_TENANT, key_id, by=COMMAND_LINE)
    database.close()


async def test_a_revocation_by_another_process_holds_within_a_second(
    access: Access, keys: SqlKeys, counted: CountedKeys, clock: Clock, path: Path
) -> None:
    """The catalog is asked twice a second for a key in use, not at every request."""
    issued = made(keys)
    for _ in range(5):
        await asked(access, issued.text)
    assert counted.found == [issued.key.id]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        await asyncio.wrap_future(pool.submit(_revoke, path, issued.key.id))
    assert REMEMBERED_SECONDS < 1.0
    clock.pass_(REMEMBERED_SECONDS)
    with pytest.raises(KeyRefused, match="revoked"):
        await asked(access, issued.text)


async def test_a_disabled_tenant_is_refused_as_soon(access: Access, keys: SqlKeys, clock: Clock) -> None:
    """And is let in again once it is enabled."""
    tenants = SqlTenants(keys._database)
    issued = made(keys)
    await asked(access, issued.text)
    tenants.disable("default", by=COMMAND_LINE)
    clock.pass_(REMEMBERED_SECONDS)
    with pytest.raises(KeyRefused, match="disabled"):
        await asked(access, issued.text)
    tenants.enable("default", by=COMMAND_LINE)
    clock.pass_(REMEMBERED_SECONDS)
    await asked(access, issued.text)


async def test_a_use_is_written_once_a_minute_beside_the_request(
    access: Access, keys: SqlKeys, counted: CountedKeys, clock: Clock
) -> None:
    """A refused key is not used; a full disk keeps nobody from asking."""
    issued = made(keys)
    start = clock.now
    for _ in range(7):
        await asked(access, issued.text)
        clock.pass_(20)
    assert counted.used_at == [start, start + timedelta(seconds=60), start + timedelta(seconds=120)]
    assert keys.keys(DEFAULT_TENANT)[0].last_used_at == start + timedelta(seconds=120)
    counted.disk_is_full = True
    clock.pass_(60)
    await asked(access, issued.text)
    counted.disk_is_full = False
    keys.revoke(DEFAULT_TENANT, issued.key.id, by=COMMAND_LINE)
    clock.pass_(60)
    with pytest.raises(KeyRefused):
        await asked(access, issued.text)
    assert len(counted.used_at) == 3


class OneKey:
    """A catalog of one key, which no test leads to. Implements what `Access` needs of `SqlKeys`."""

    def __init__(self) -> None:
        self.text = new_key_text()
        key_id = self.text.split("_")[1]
        key = ApiKey(id=key_id, tenant=DEFAULT_TENANT, scopes=ALL_SCOPES, created_at=datetime.now(UTC))
        self.stored = StoredKey(key=key, digest=digest_of(self.text), tenant_disabled=False)

    def find(self, key_id: str) -> StoredKey | None:
        return self.stored if key_id == self.stored.key.id else None

    def has_any(self) -> bool:
        return True


ONE_KEY = OneKey()
HEADERS = st.one_of(
    st.text(),
    st.binary().map(lambda raw: raw.decode("latin-1")),
    st.text().map("Bearer ".__add__),
    st.from_regex(r"Bearer wk_[0-9a-f]{12}_[0-9a-f]{0,65}", fullmatch=True),
    st.text(alphabet="wk_0123456789abcdef ", max_size=90).map(f"Bearer wk_{ONE_KEY.stored.key.id}_".__add__),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(header=HEADERS)
def test_whatever_is_sent_is_refused_and_nothing_worse(header: str) -> None:
    """No header makes anything but a refusal."""
    with pytest.raises(KeyRefused):
        asyncio.run(Access(ONE_KEY).principal(authorization=header, host=None))


async def test_nothing_is_read_again_while_the_catalog_stays_as_it_is(
    database: SqlDatabase, keys: SqlKeys, counted: CountedKeys, clock: Clock
) -> None:
    """A key, or that there is none: a request in two would have to wait for a thread under load. A change counts at
    once.
    """
    access = Access(counted, now=lambda: clock.now, monotonic=lambda: clock.seconds, catalog_version=database.version)
    for _ in range(3):
        await asked(access, None, host="localhost")
        clock.seconds += 10.0
    assert counted.asked == 1
    issued = made(keys)
    with pytest.raises(KeyRefused):
        await asked(access, None, host="localhost")
    await asked(access, issued.text)
    clock.seconds += 10.0
    await asked(access, issued.text)  # since the first one its use was noted, which is a commit
    counted.found.clear()
    for _ in range(3):
        clock.seconds += 10.0
        await asked(access, issued.text)
    assert counted.found == []
    keys.revoke(DEFAULT_TENANT, issued.key.id, by=COMMAND_LINE)
    clock.seconds += 10.0
    with pytest.raises(KeyRefused, match="this key is revoked"):
        await asked(access, issued.text)
