"""Requests about webhooks: each tenant sees its own address only, and its secret once. No set is run, nothing sent."""

from __future__ import annotations

from tests.tenants.requester import Asking
from tests.tenants.service import Operation
from tests.tenants.world import Tenant

HOST = "hooks.example.org"  # which the service allows


def put(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """At the allowed host, or at one inside the network."""
    path = life.world.canary(tenant.number, "hook")
    host = life.chances.choice([HOST, HOST, "127.0.0.1:8000", "169.254.169.254"])
    url = f"https://{host}/{path}"
    said = life.ask(tenant, operation, {"url": url}, expect=200 if host == HOST else 422).json()
    if host == HOST:
        life.same(f"whether the secret of {tenant.name} is shown", said["secret"] is None, tenant.webhook is not None)
        tenant.webhook = url


def read(life: Asking, tenant: Tenant, operation: Operation) -> None:
    said = life.ask(tenant, operation, expect=200).json()
    life.same(f"webhook of {tenant.name}", (said["url"], said["secret"]), (tenant.webhook, None))


def rotate(life: Asking, tenant: Tenant, operation: Operation) -> None:
    life.ask(tenant, operation, {"overlap_seconds": 60}, expect=422 if tenant.webhook is None else 200)


def remove(life: Asking, tenant: Tenant, operation: Operation) -> None:
    life.ask(tenant, operation, expect=200)
    tenant.webhook = None


def list_deliveries(life: Asking, tenant: Tenant, operation: Operation) -> None:
    life.same(f"deliveries of {tenant.name}", life.ask(tenant, operation, expect=200).json()["deliveries"], [])
