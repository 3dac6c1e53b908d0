"""Bodies and answers for limits and usage."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import date
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field

from winnow.api.fields import Number, Strict
from winnow.retrieval.catalog.quotas import LIMIT_MAX, WEIGHT_MAX, WEIGHT_MIN, TenantLimits, Usage
from winnow.retrieval.tenancy import TenantName


class LimitsOfTenant(BaseModel):
    """Limits by name. 0 means no limit."""

    requests_per_minute: int | None
    rerank_tokens_per_minute: int | None
    concurrent_requests: int | None
    documents: int | None
    bytes: int | None
    weight: float | None


class LimitsResponse(BaseModel):
    """A tenant's limits."""

    tenant: str
    own: LimitsOfTenant  # null: the deployment's default
    holds: LimitsOfTenant  # its own, completed by the deployment's; a weight of null is 1


def limits_response(tenant: TenantName, own: TenantLimits, *, defaults: TenantLimits) -> dict[str, object]:
    """The body of `GET /v1/limits`."""
    return {"tenant": tenant, "own": asdict(own), "holds": asdict(own.over(defaults))}


class UsageFormat(StrEnum):
    """The format of usage."""

    JSON = "json"
    CSV = "csv"


class UsageOfDay(BaseModel):
    """What one tenant used on one day."""

    day: date
    tenant: str
    requests: int
    searches: int
    rerank_documents: int
    rerank_remembered: int
    rerank_tokens: int
    embedded_tokens: int
    documents_written: int
    bytes_written: int


class UsageResponse(BaseModel):
    """Usage by day."""

    usage: list[UsageOfDay]


Most = Annotated[int | None, Field(ge=0, le=LIMIT_MAX), Number]


class LimitsBody(Strict):
    """PUT /v1/tenants/NAME/limits. Omitted or null means the deployment's default, 0 means no limit."""

    requests_per_minute: Most = None
    rerank_tokens_per_minute: Most = None
    concurrent_requests: Most = None
    documents: Most = None
    bytes: Most = None
    weight: Annotated[
        float | None,
        Field(ge=WEIGHT_MIN, le=WEIGHT_MAX, description="Weight of its share of the reranker, relative to others."),
        Number,
    ] = None

    def limits(self) -> TenantLimits:
        return TenantLimits(**self.model_dump())


def usage_response(used: Sequence[Usage]) -> dict[str, Any]:
    """The body of `GET /v1/usage`."""
    return {"usage": [{**asdict(each), "day": each.day.isoformat()} for each in used]}


def usage_csv(used: Sequence[Usage]) -> str:
    """Return CSV with a header line. A tenant's name needs no quoting: it begins with a letter or a digit."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [each.name for each in fields(Usage)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(usage_response(used)["usage"])
    return out.getvalue()
