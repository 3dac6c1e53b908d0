"""How are limits told? The same of a tenant's own and of those that hold."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import BaseModel

from winnow.retrieval.catalog.collections import TenantName
from winnow.retrieval.catalog.quotas import TenantLimits


class LimitsOfTenant(BaseModel):
    """The limits by name. 0 is no limit."""

    requests_per_minute: int | None
    rerank_tokens_per_minute: int | None
    concurrent_requests: int | None
    documents: int | None
    bytes: int | None
    weight: float | None


class LimitsSaid(BaseModel):
    """A tenant's limits."""

    tenant: str
    own: LimitsOfTenant  # null: as the deployment has it
    holds: LimitsOfTenant  # its own, and the deployment's where it has none; a weight of null is 1


def limits_said(tenant: TenantName, own: TenantLimits, *, defaults: TenantLimits) -> dict[str, object]:
    """The body of `GET /v1/limits`."""
    return {"tenant": tenant, "own": asdict(own), "holds": asdict(own.over(defaults))}
