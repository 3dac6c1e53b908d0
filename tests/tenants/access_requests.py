"""Requests about keys, grants, tenants, usage and the service itself, and what the model expects of each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.tenants.requester import Asking
from tests.tenants.service import Operation
from tests.tenants.world import Tenant


def list_keys(life: Asking, tenant: Tenant, operation: Operation) -> None:
    said = life.ask(tenant, operation, expect=200).json()
    life.same(f"keys of {tenant.name}", {each["id"]: each["standing"] for each in said["keys"]}, tenant.keys)
    life.same("whose keys", {each["tenant"] for each in said["keys"]}, {tenant.name})


def make_key(life: Asking, tenant: Tenant, operation: Operation) -> None:
    body = {"scopes": ["search"], "note": life.world.canary(tenant.number, "note")}
    body, is_refused = life.widened(tenant, body)
    answer = life.ask(tenant, operation, body, expect=422 if is_refused else 201)
    if answer.status_code == 201:
        tenant.keys[answer.json()["id"]] = "active"
        life.world.issued.append(answer.json()["key"])


def rotate_key(life: Asking, tenant: Tenant, operation: Operation) -> None:
    key_id = _key_id(life, tenant)
    expected = {"active": 201, None: 404}.get(tenant.keys.get(key_id), (201, 404, 409, 422))
    answer = life.ask(tenant, operation, {"overlap_seconds": 86_400}, expect=expected, key_id=key_id)
    if answer.status_code == 201:
        tenant.keys[answer.json()["id"]] = "active"
        life.world.issued.append(answer.json()["key"])


def revoke_key(life: Asking, tenant: Tenant, operation: Operation) -> None:
    key_id = _key_id(life, tenant)
    expected = {"active": 200, None: 404}.get(tenant.keys.get(key_id), (200, 404, 409, 422))
    if life.ask(tenant, operation, expect=expected, key_id=key_id).status_code == 200:
        tenant.keys[key_id] = "revoked"


def list_grants(life: Asking, tenant: Tenant, operation: Operation) -> None:
    received = set(life.world.received(tenant))
    said = life.ask(tenant, operation, expect=200, shown="/".join(received).split("/")).json()
    given = {(name, reader) for name, each in tenant.collections.items() for reader in each.readers}
    life.same(f"grants of {tenant.name}", {(each["collection"], each["tenant"]) for each in said["given"]}, given)
    life.same(f"grants to {tenant.name}", {each["collection"] for each in said["received"]}, received)


def give_grant(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name, reader = life.world.collection_name(tenant), life.world.other(tenant)
    known = tenant.collections.get(name)
    if life.ask(tenant, operation, expect=200 if known else 404, name=name, reader=reader.name).is_error or not known:
        return
    known.readers.add(reader.name)
    tenant.own_words.add(reader.name)  # its audit log tells to whom


def take_grant_back(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name = life.world.collection_name(tenant)
    known = tenant.collections.get(name)
    readers = sorted(known.readers) if known else []
    reader = life.chances.choice([*readers, life.world.other(tenant).name])
    is_there = reader in readers
    answer = life.ask(tenant, operation, expect=200 if is_there else 404, name=name, reader=reader)
    if known and answer.status_code == 200:
        known.readers.discard(reader)


def list_audit(life: Asking, tenant: Tenant, operation: Operation) -> None:
    said = life.ask(tenant, operation, expect=200, query="?limit=1000").json()
    life.same("whose audit log", {each["tenant"] for each in said["entries"]}, {tenant.name})
    life.ask(None, operation, expect=200, query="?limit=20")


def get_usage(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """To the request: what others did is in no number."""
    today = datetime.now(UTC).date()
    days = f"?from={today - timedelta(days=1)}&to={today + timedelta(days=1)}"
    said = life.ask(tenant, operation, expect=200, query=days).json()["usage"]
    life.same("whose usage", {each["tenant"] for each in said}, {tenant.name})
    found = tuple(sum(each[name] for each in said) for name in ("requests", "searches", "documents_written"))
    life.same(f"usage of {tenant.name}", found, (tenant.requests, tenant.searches, tenant.written))


def list_tenants(life: Asking, tenant: Tenant, operation: Operation) -> None:
    life.ask(tenant, operation, expect=403)
    said = life.ask(None, operation, expect=200).json()
    names = {each["name"] for each in said["tenants"]}
    life.same("tenants", names - {"default"}, {each.name for each in life.world.tenants})


def make_tenant(life: Asking, tenant: Tenant, operation: Operation) -> None:
    body = {"name": life.world.whose(tenant).name}
    life.ask(tenant, operation, body, expect=403)
    life.ask(None, operation, body, expect=409)


def change_tenant(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name = life.world.whose(tenant).name
    life.ask(tenant, operation, {"disabled": True}, expect=403, name=name)
    life.ask(None, operation, {"disabled": False}, expect=200, name=name)


def make_key_of_tenant(life: Asking, tenant: Tenant, operation: Operation) -> None:
    other = life.world.other(tenant)
    life.ask(tenant, operation, {"scopes": ["search"]}, expect=403, name=other.name)
    said = life.ask(None, operation, {"scopes": ["search"]}, expect=201, name=other.name).json()
    other.keys[said["id"]] = "active"
    life.world.issued.append(said["key"])


def metrics(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """Not to a tenant; and to the operator without a word of any."""
    life.ask(tenant, operation, expect=403)
    said = life.ask(None, operation, expect=200).text
    words = [word for other in life.world.tenants for word in (other.name, *other.collections, *other.keys)]
    life.leaks += [f"{word} in /metrics" for word in words if word.startswith("zq") and word in said]
    life.leaks += [f"{word} in /metrics" for word in life.world.betrayed(said)]


def readyz(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """The fakes compute with letters, so that most of them answer no known pair as a model does."""
    expected = 200 if life.service.app.state.readiness.is_ready else 503
    said = life.ask(tenant, operation, expect=expected).json()
    found = {each["name"] for each in said["collections"]}
    life.same(f"collections of {tenant.name} in /readyz", found - set(tenant.collections), set())


def open_to_all(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """The same for everybody."""
    life.ask(tenant, operation, expect=200)


def page(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """The page is the same for everybody; without the extra `ui` only / answers."""
    found = {200, 404} if operation[1] != "/" else {200, 307}
    places = {"path": life.chances.choice(("page/page.css", "theme.css"))} if "{" in operation[1] else {}
    life.ask(tenant, operation, expect=found, **places)


def _key_id(life: Asking, tenant: Tenant) -> str:
    """Never the one that it asks with."""
    whose = life.world.whose(tenant)
    return life.chances.choice([each for each in (*whose.keys, "0" * 12) if each != tenant.key_id])
