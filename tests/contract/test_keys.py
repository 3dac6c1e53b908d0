"""What Keys, Tenants, Grants and the audit log promise, over both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sql

from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.catalog.keys import ALL_SCOPES, KeyScope, KeyStanding, KeyWish, digest_of, id_of
from winnow.retrieval.catalog.sql.audit import AUDIT, SqlAuditLog
from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.keys import API_KEYS, SqlKeys
from winnow.retrieval.catalog.sql.tenants import GRANTS, SqlGrants, SqlTenants
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import (
    CollectionNotFound,
    GrantNotFound,
    InvalidRequest,
    KeyNotFound,
    LimitExceeded,
    StorageError,
    TenantExists,
    TenantNotFound,
    WriteFailed,
)
from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT, Actor, TenantName

ADMIN = Actor("key:aaaaaaaaaaaa")
OTHER = TenantName("other")
READER = TenantName("reader")
SEARCH = KeyWish(scopes=frozenset({KeyScope.SEARCH}))
MINUTE = timedelta(minutes=1)


@pytest.fixture
def keys(database: SqlDatabase) -> SqlKeys:
    SqlTenants(database).make("other", by=COMMAND_LINE)
    return SqlKeys(database, keys_max=4)


@pytest.fixture
def tenants(database: SqlDatabase) -> SqlTenants:
    return SqlTenants(database)


@pytest.fixture
def grants(database: SqlDatabase) -> SqlGrants:
    return SqlGrants(database)


@pytest.fixture
def audit(database: SqlDatabase) -> SqlAuditLog:
    return SqlAuditLog(database)


@pytest.fixture
def catalog(database: SqlDatabase) -> SqlCollections:
    return SqlCollections(database)


def collection(name: str, tenant: TenantName = DEFAULT_TENANT) -> Collection:
    return Collection(
        tenant=tenant,
        name=name,
        embedder=EmbedderIdentity(name="e", revision="1", dimension=8),
        chunk_tokens=256,
        created_at=datetime.now(UTC),
    )


def everything(database: SqlDatabase) -> str:
    """All rows of all tables that know of keys."""
    with database.reading() as connection:
        return repr([list(connection.execute(sql.select(table))) for table in (API_KEYS, AUDIT, GRANTS)])


def test_a_key_is_found_by_its_id_and_its_secret_is_nowhere(keys: SqlKeys, database: SqlDatabase) -> None:
    """What is stored is a digest; no half of the secret is in any table."""
    wish = KeyWish(scopes=frozenset({KeyScope.WRITE, KeyScope.SEARCH}), lifetime=timedelta(days=2), note="für Ömer")
    issued = keys.make(OTHER, wish, by=ADMIN)
    assert id_of(issued.text) == issued.key.id
    stored = keys.find(issued.key.id)
    assert stored is not None
    assert (stored.key, stored.digest, stored.tenant_disabled) == (issued.key, digest_of(issued.text), False)
    assert (stored.key.tenant, stored.key.scopes, stored.key.note) == (OTHER, wish.scopes, "für Ömer")
    assert stored.key.expires_at == stored.key.created_at + timedelta(days=2)
    assert keys.find("0" * 12) is None
    secret = issued.text.rpartition("_")[2]
    assert secret[:32] not in everything(database)
    assert secret[32:] not in everything(database)


def test_no_two_keys_are_alike(keys: SqlKeys) -> None:
    """Neither in their ids nor in their secrets."""
    texts = [keys.make(DEFAULT_TENANT, SEARCH, by=ADMIN).text for _ in range(4)]
    assert len({id_of(text) for text in texts}) == len({text.rpartition("_")[2] for text in texts}) == 4
    assert {len(text) for text in texts} == {len("wk_") + 12 + 1 + 64}


def test_a_tenant_sees_its_own_keys_only(keys: SqlKeys) -> None:
    """Another's cannot be listed, replaced or revoked, and is as one that is not there."""
    mine, others = keys.make(DEFAULT_TENANT, SEARCH, by=ADMIN), keys.make(OTHER, SEARCH, by=ADMIN)
    assert [each.id for each in keys.keys(DEFAULT_TENANT)] == [mine.key.id]
    for unknown in (others.key.id, "0" * 12, "", "' OR 1=1 --"):
        with pytest.raises(KeyNotFound):
            keys.revoke(DEFAULT_TENANT, unknown, by=ADMIN)
        with pytest.raises(KeyNotFound):
            keys.rotate(DEFAULT_TENANT, unknown, overlap=MINUTE, by=ADMIN)
    assert keys.keys(OTHER) == [others.key]
    with pytest.raises(TenantNotFound, match="nobody"):
        keys.make(TenantName("nobody"), SEARCH, by=ADMIN)


def test_a_key_is_replaced_with_an_overlap(keys: SqlKeys) -> None:
    """The new one has the old one's scopes and lifetime; the old one ends after the overlap, or when it would have."""
    old = keys.make(DEFAULT_TENANT, KeyWish(scopes=ALL_SCOPES, lifetime=timedelta(days=9), note="n"), by=ADMIN)
    before = datetime.now(UTC)
    new = keys.rotate(DEFAULT_TENANT, old.key.id, overlap=MINUTE, by=ADMIN)
    after = datetime.now(UTC)
    assert (new.key.scopes, new.key.note, new.key.tenant) == (ALL_SCOPES, "n", DEFAULT_TENANT)
    assert new.key.expires_at == new.key.created_at + timedelta(days=9)
    ending, fresh = keys.keys(DEFAULT_TENANT)
    assert fresh == new.key
    assert ending.expires_at is not None
    assert before + MINUTE <= ending.expires_at <= after + MINUTE
    assert ending.standing(after) is KeyStanding.ACTIVE
    assert ending.standing(ending.expires_at) is KeyStanding.EXPIRED
    keys.rotate(DEFAULT_TENANT, old.key.id, overlap=timedelta(days=99), by=ADMIN)
    assert keys.keys(DEFAULT_TENANT)[0].expires_at == ending.expires_at


def test_what_is_accepted_no_longer_is_not_replaced(keys: SqlKeys) -> None:
    """Its holder would come back to life."""
    revoked = keys.make(DEFAULT_TENANT, SEARCH, by=ADMIN).key
    keys.revoke(DEFAULT_TENANT, revoked.id, by=ADMIN)
    expired = keys.make(DEFAULT_TENANT, KeyWish(scopes=ALL_SCOPES, lifetime=timedelta(microseconds=1)), by=ADMIN).key
    for key, why in ((revoked, "revoked"), (expired, "expired")):
        with pytest.raises(KeyNotFound, match=why):
            keys.rotate(DEFAULT_TENANT, key.id, overlap=MINUTE, by=ADMIN)
    assert len(keys.keys(DEFAULT_TENANT)) == 2


def test_a_revocation_is_for_good(keys: SqlKeys) -> None:
    """Again it changes nothing; the key stays in the list, and the deployment stays one that has had keys."""
    assert not keys.has_any()
    key = keys.make(DEFAULT_TENANT, SEARCH, by=ADMIN).key
    revoked = keys.revoke(DEFAULT_TENANT, key.id, by=ADMIN)
    assert revoked.standing(datetime.now(UTC)) is KeyStanding.REVOKED
    assert keys.revoke(DEFAULT_TENANT, key.id, by=COMMAND_LINE) == revoked
    assert keys.keys(DEFAULT_TENANT) == [revoked]
    assert keys.has_any()


def test_a_use_is_written_once_a_minute(keys: SqlKeys) -> None:
    """Whichever of several processes comes first."""
    key = keys.make(DEFAULT_TENANT, SEARCH, by=ADMIN).key
    at = datetime(2027, 1, 1, tzinfo=UTC)
    for seconds, last in ((0, 0), (59, 0), (60, 60), (61, 60), (300, 300), (10, 300)):
        keys.used(key.id, at=at + timedelta(seconds=seconds), least=MINUTE)
        assert keys.keys(DEFAULT_TENANT)[0].last_used_at == at + timedelta(seconds=last)


def test_keys_are_bounded_by_those_that_are_accepted(keys: SqlKeys) -> None:
    """Who replaces keys every day does not run out of them."""
    issued = [keys.make(DEFAULT_TENANT, SEARCH, by=ADMIN) for _ in range(4)]
    with pytest.raises(LimitExceeded, match="4 valid keys"):
        keys.make(DEFAULT_TENANT, SEARCH, by=ADMIN)
    with pytest.raises(LimitExceeded):
        keys.rotate(DEFAULT_TENANT, issued[0].key.id, overlap=MINUTE, by=ADMIN)
    keys.make(OTHER, SEARCH, by=ADMIN)
    keys.revoke(DEFAULT_TENANT, issued[0].key.id, by=ADMIN)
    keys.make(DEFAULT_TENANT, SEARCH, by=ADMIN)


def test_tenants_are_made_once_and_by_names_that_can_be_folders(tenants: SqlTenants) -> None:
    """The default tenant is always there."""
    made = tenants.make("library-2", by=ADMIN)
    assert tenants.tenant("library-2") == made
    assert [each.name for each in tenants.tenants()] == ["default", "library-2"]
    with pytest.raises(TenantExists, match="library-2"):
        tenants.make("library-2", by=ADMIN)
    with pytest.raises(TenantNotFound, match="nobody"):
        tenants.tenant("nobody")
    for name in ("", "..", "a/b", "A", "-a", "a" * 64, "a\n", "a\0", "ａ"):
        with pytest.raises(InvalidRequest):
            tenants.make(name, by=ADMIN)


def test_a_disabled_tenant_is_told_with_each_of_its_keys(keys: SqlKeys, tenants: SqlTenants) -> None:
    """And enabled again it is not; twice the same changes nothing."""
    key = keys.make(OTHER, SEARCH, by=ADMIN).key
    disabled = tenants.disable("other", by=ADMIN)
    assert disabled.disabled_at is not None
    assert tenants.disable("other", by=ADMIN) == disabled
    stored = keys.find(key.id)
    assert stored is not None
    assert stored.tenant_disabled
    assert tenants.enable("other", by=ADMIN).disabled_at is None
    stored = keys.find(key.id)
    assert stored is not None
    assert not stored.tenant_disabled
    with pytest.raises(TenantNotFound):
        tenants.disable("nobody", by=ADMIN)


def test_a_grant_opens_one_collection_to_one_tenant(grants: SqlGrants, catalog: SqlCollections) -> None:
    """Everybody else, and every other collection, is told what is told of one that is not there."""
    catalog.add(collection("laws"))
    catalog.add(collection("acts"))
    granted = grants.give(DEFAULT_TENANT, "laws", "reader", by=ADMIN)
    assert grants.give(DEFAULT_TENANT, "laws", "reader", by=ADMIN) == granted
    assert catalog.granted("default", "laws", reader=READER) == catalog.get(DEFAULT_TENANT, "laws")
    assert grants.given(DEFAULT_TENANT) == grants.received(READER) == [granted]
    for owner, name, reader in (
        ("default", "acts", READER),
        ("default", "laws", OTHER),
        ("default", "none", READER),
        ("reader", "laws", DEFAULT_TENANT),
        ("other", "laws", READER),
    ):
        with pytest.raises(CollectionNotFound, match=f"{owner}/{name}"):
            catalog.granted(owner, name, reader=reader)
    grants.take_back(DEFAULT_TENANT, "laws", "reader", by=ADMIN)
    with pytest.raises(CollectionNotFound):
        catalog.granted("default", "laws", reader=READER)
    with pytest.raises(GrantNotFound):
        grants.take_back(DEFAULT_TENANT, "laws", "reader", by=ADMIN)
    assert grants.given(DEFAULT_TENANT) == grants.received(READER) == []


def test_only_what_is_owned_can_be_granted(grants: SqlGrants, catalog: SqlCollections) -> None:
    """A granted collection cannot be granted on, and nothing is granted to oneself."""
    catalog.add(collection("laws"))
    grants.give(DEFAULT_TENANT, "laws", "reader", by=ADMIN)
    with pytest.raises(CollectionNotFound, match="laws"):
        grants.give(READER, "laws", "other", by=ADMIN)
    with pytest.raises(InvalidRequest, match="already belongs to"):
        grants.give(DEFAULT_TENANT, "laws", "default", by=ADMIN)
    with pytest.raises(InvalidRequest, match="name"):
        grants.give(DEFAULT_TENANT, "laws", "../x", by=ADMIN)


def test_a_grant_rests_while_its_owner_is_disabled_and_ends_with_the_collection(
    grants: SqlGrants, catalog: SqlCollections, tenants: SqlTenants
) -> None:
    """What is made anew under the same name is its owner's alone."""
    tenants.make("other", by=ADMIN)
    catalog.add(collection("laws", OTHER))
    grants.give(OTHER, "laws", "reader", by=ADMIN)
    tenants.disable("other", by=ADMIN)
    with pytest.raises(CollectionNotFound):
        catalog.granted("other", "laws", reader=READER)
    tenants.enable("other", by=ADMIN)
    assert catalog.granted("other", "laws", reader=READER).name == "laws"
    catalog.remove(OTHER, "laws")
    catalog.add(collection("laws", OTHER))
    assert grants.received(READER) == []
    with pytest.raises(CollectionNotFound):
        catalog.granted("other", "laws", reader=READER)


def test_every_change_is_told_once_with_before_and_after(
    keys: SqlKeys, grants: SqlGrants, tenants: SqlTenants, catalog: SqlCollections, audit: SqlAuditLog
) -> None:
    """And what was refused, or changed nothing, not at all."""
    catalog.add(collection("laws"), by=ADMIN)
    key = keys.make(DEFAULT_TENANT, SEARCH, by=ADMIN).key
    new = keys.rotate(DEFAULT_TENANT, key.id, overlap=MINUTE, by=ADMIN).key
    for _ in range(2):
        keys.revoke(DEFAULT_TENANT, new.id, by=COMMAND_LINE)
        grants.give(DEFAULT_TENANT, "laws", "reader", by=ADMIN)
        tenants.disable("other", by=ADMIN)
    grants.take_back(DEFAULT_TENANT, "laws", "reader", by=ADMIN)
    with pytest.raises(KeyNotFound):
        keys.revoke(OTHER, key.id, by=ADMIN)
    with pytest.raises(TenantExists):
        tenants.make("other", by=ADMIN)
    entries = list(reversed(audit.entries(tenant=None, limit=100)))
    assert [(each.actor, each.action, each.tenant, each.subject) for each in entries] == [
        (COMMAND_LINE, "tenant.create", "other", "other"),
        (ADMIN, "collection.create", "default", "laws"),
        (ADMIN, "key.create", "default", key.id),
        (ADMIN, "key.create", "default", new.id),
        (ADMIN, "key.expire", "default", key.id),
        (COMMAND_LINE, "key.revoke", "default", new.id),
        (ADMIN, "grant.give", "default", "laws"),
        (ADMIN, "tenant.disable", "other", "other"),
        (ADMIN, "grant.revoke", "default", "laws"),
    ]
    revoked = entries[5]
    assert revoked.before == {"scopes": ["search"], "expires_at": None, "revoked_at": None}
    assert revoked.after is not None
    assert datetime.fromisoformat(str(revoked.after["revoked_at"])) <= revoked.at
    assert (entries[6].before, entries[6].after) == (None, {"reader": "reader"})
    assert (entries[7].before, entries[7].after) == ({"disabled": False}, {"disabled": True})
    assert [each.number for each in entries] == sorted({each.number for each in entries})


def test_the_audit_log_is_read_by_pages_and_by_tenant(keys: SqlKeys, audit: SqlAuditLog) -> None:
    """Newest first; the pages joined are the whole."""
    for _ in range(3):
        for tenant in (DEFAULT_TENANT, OTHER):
            keys.revoke(tenant, keys.make(tenant, SEARCH, by=ADMIN).key.id, by=ADMIN)
    whole = audit.entries(tenant=None, limit=100)
    assert len(whole) == 13
    first = audit.entries(tenant=None, limit=8)
    assert [*first, *audit.entries(tenant=None, limit=8, before=first[-1].number)] == whole
    assert audit.entries(tenant=OTHER, limit=100) == [each for each in whole if each.tenant == OTHER]


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"])
def test_the_database_itself_refuses_to_rewrite_the_audit_log(
    keys: SqlKeys, audit: SqlAuditLog, database: SqlDatabase, statement: str
) -> None:
    """Whoever has the program's own connection cannot either."""
    before = audit.entries(tenant=None, limit=100)
    with pytest.raises(WriteFailed, match="append-only"), database.writing() as connection:
        connection.exec_driver_sql(statement)
    assert audit.entries(tenant=None, limit=100) == before != []


def test_nothing_is_changed_without_its_entry(keys: SqlKeys, database: SqlDatabase) -> None:
    """Both are one transaction: where the entry cannot be written the change is taken back."""
    key = keys.make(DEFAULT_TENANT, SEARCH, by=ADMIN).key
    with database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE audit")
    with pytest.raises(StorageError):
        keys.make(DEFAULT_TENANT, SEARCH, by=ADMIN)
    with pytest.raises(StorageError):
        keys.revoke(DEFAULT_TENANT, key.id, by=ADMIN)
    assert keys.keys(DEFAULT_TENANT) == [key]
