"""Requests about shadows and limits: another tenant's name is as none; of its own the model holds no more than that."""

from __future__ import annotations

from tests.tenants.requester import Asking
from tests.tenants.service import Operation
from tests.tenants.world import Tenant

OWN = (200, 404, 409, 422)


def of_name(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """Reads, starts or ends a shadow; no share is judged twice here."""
    name = life.world.instruction_name(tenant)
    body = {"version": 1, "share": 0.1} if operation[0] == "PUT" else None
    life.ask(tenant, operation, body, expect=OWN if tenant.instructions.get(name) else (404, 422), name=name)


def promote(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """Only what is not its own: its own drafts are published elsewhere."""
    name = life.world.instruction_name(life.world.other(tenant))
    name = "none" if name in tenant.instructions else name
    life.ask(tenant, operation, expect=404, name=name, version="1")


def read(life: Asking, tenant: Tenant, operation: Operation) -> None:
    life.ask(tenant, operation, expect=200)


def of_tenant(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """Limits of tenants are the operator's."""
    body = {} if operation[0] == "PUT" else None
    life.ask(tenant, operation, body, expect=403, name=life.world.whose(tenant).name)
