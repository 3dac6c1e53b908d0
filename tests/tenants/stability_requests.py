"""Requests about golden sets and sampling: another tenant's set or run is as none. None is run: that is a search."""

from __future__ import annotations

from typing import Any

from tests.tenants.requester import Asking
from tests.tenants.service import Operation
from tests.tenants.world import Tenant


def add(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """A set over a collection of its own, or over one of somebody else's, which is not found."""
    collection = life.world.collection_name(tenant)
    name = life.world.canary(tenant.number, "gold")
    body = {
        "name": name,
        "collection": collection,
        "queries": [{"query": f"what of {life.world.canary(tenant.number, 'qry')}"}],
    }
    if life.ask(tenant, operation, body, expect=200 if collection in tenant.collections else 404).is_success:
        tenant.golden.add(name)


def remove(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """Its own may be gone with their collection."""
    name = _set_name(life, life.world.whose(tenant))
    answered = life.ask(tenant, operation, expect=(200, 404) if name in tenant.golden else 404, name=name)
    if answered.is_success:
        tenant.golden.discard(name)


def schedule(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """Of its own sets only; no service here runs for a day."""
    name = _set_name(life, life.world.whose(tenant))
    body = {"every_seconds": 86_400 * life.chances.randint(1, 99)} if operation[0] == "PUT" else None
    life.ask(tenant, operation, body, expect=(200, 404) if name in tenant.golden else 404, name=name)


def list_sets(life: Asking, tenant: Tenant, operation: Operation) -> None:
    said = life.ask(tenant, operation, expect=200).json()
    for each in said["sets"]:
        if each["name"] not in tenant.golden or each["collection"] not in tenant.collections:
            life.differs(f"{tenant.name} has the golden set {each['name']} over {each['collection']}")


def report(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """What it shows of samples is looked through like every answer."""
    life.ask(tenant, operation, expect=200)


def list_runs(life: Asking, tenant: Tenant, operation: Operation) -> None:
    said = life.ask(tenant, operation, expect=200).json()
    life.same(f"runs of {tenant.name}", said["runs"], [])


def run_foreign(life: Asking, tenant: Tenant, operation: Operation) -> None:
    life.ask(tenant, operation, {"name": _set_name(life, life.world.other(tenant))}, expect=404)


def read_run(life: Asking, tenant: Tenant, operation: Operation) -> None:
    life.ask(tenant, operation, expect=404, number=str(life.chances.randint(1, 50)))


def sampling(life: Asking, tenant: Tenant, operation: Operation) -> None:
    body = {"share": life.chances.random()} if operation[0] == "PUT" else None
    life.ask(tenant, operation, body, expect=200)


def set_thresholds(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """For all its collections, for one of its own, or for one of somebody else's, which is not found."""
    collection = life.chances.choice([None, life.world.collection_name(tenant)])
    body = {"collection": collection, "rbo_min": _own_limit(tenant)}
    is_there = collection is None or collection in tenant.collections
    life.ask(tenant, operation, body, expect=200 if is_there else 404)


def read_thresholds(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """Only limits that it set itself, for collections that it has."""
    _check_thresholds(life, tenant, life.ask(tenant, operation, expect=200).json())


def remove_thresholds(life: Asking, tenant: Tenant, operation: Operation) -> None:
    collection = life.chances.choice([None, life.world.collection_name(tenant)])
    query = "" if collection is None else f"?collection={collection}"
    _check_thresholds(life, tenant, life.ask(tenant, operation, expect=200, query=query).json())


def _own_limit(tenant: Tenant) -> float:
    return tenant.number / 1_000


def _check_thresholds(life: Asking, tenant: Tenant, said: Any) -> None:
    for each in said["thresholds"]:
        collection = each["collection"]
        if each["rbo_min"] != _own_limit(tenant) or not (collection is None or collection in tenant.collections):
            life.differs(f"{tenant.name} has thresholds {each}")


def _set_name(life: Asking, tenant: Tenant) -> str:
    return life.chances.choice(sorted(tenant.golden) or ["none"])
