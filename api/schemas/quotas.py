"""Requests and answers about limits and usage."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import fields
from datetime import date
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from winnow.api.fields import Number, Strict
from winnow.api.schemas.response import JsonObject
from winnow.retrieval.catalog.quotas import (
    COUNTED_BY,
    LIMIT_MAX,
    WEIGHT_MAX,
    WEIGHT_MIN,
    CountedBy,
    Limit,
    TenantLimits,
    Usage,
)
from winnow.retrieval.tenancy import TenantName

Maximum = Annotated[int | None, Field(ge=0, le=LIMIT_MAX), Number]


class LimitsBody(Strict):
    """PUT /v1/tenants/NAME/limits. null or left out: the deployment's default. 0: no limit."""

    requests_per_minute: Maximum = None
    rerank_tokens_per_minute: Maximum = None
    concurrent_requests: Maximum = None
    documents: Maximum = None
    bytes: Maximum = None
    weight: Annotated[
        float | None,
        Field(ge=WEIGHT_MIN, le=WEIGHT_MAX, description="Weight of the tenant's share of the reranker."),
        Number,
    ] = None

    def limits(self) -> TenantLimits:
        return TenantLimits(**self.model_dump())


class LimitsOfTenant(JsonObject):
    """Limits by name. 0 means no limit."""

    requests_per_minute: int | None
    rerank_tokens_per_minute: int | None
    concurrent_requests: int | None
    documents: int | None
    bytes: int | None
    weight: Annotated[float | None, Field(description="Weight of the tenant's share of the reranker; null means 1.")]


class CountedByResponse(JsonObject):
    """What counts towards each limit: `process`, what one process answers, or `all`, what all have stored together."""

    requests_per_minute: CountedBy
    rerank_tokens_per_minute: CountedBy
    concurrent_requests: CountedBy
    documents: CountedBy
    bytes: CountedBy


class LimitsResponse(JsonObject):
    """A tenant's limits."""

    tenant: str
    own: Annotated[LimitsOfTenant, Field(description="The tenant's own. null: the deployment's default applies.")]
    holds: Annotated[LimitsOfTenant, Field(description="The limits that apply: own ones, completed by the defaults.")]
    counted_by: CountedByResponse


def limits_response(tenant: TenantName, own: TenantLimits, *, defaults: TenantLimits) -> LimitsResponse:
    return {
        "tenant": tenant,
        "own": _limits(own),
        "holds": _limits(own.over(defaults)),
        "counted_by": {
            "requests_per_minute": COUNTED_BY[Limit.REQUESTS],
            "rerank_tokens_per_minute": COUNTED_BY[Limit.TOKENS],
            "concurrent_requests": COUNTED_BY[Limit.CONCURRENT],
            "documents": COUNTED_BY[Limit.DOCUMENTS],
            "bytes": COUNTED_BY[Limit.BYTES],
        },
    }


def _limits(limits: TenantLimits) -> LimitsOfTenant:
    return {
        "requests_per_minute": limits.requests_per_minute,
        "rerank_tokens_per_minute": limits.rerank_tokens_per_minute,
        "concurrent_requests": limits.concurrent_requests,
        "documents": limits.documents,
        "bytes": limits.bytes,
        "weight": limits.weight,
    }


class UsageFormat(StrEnum):
    """The format of a usage report."""

    JSON = "json"
    CSV = "csv"


class UsageOfDay(JsonObject):
    """What one tenant used on one day."""

    tenant: str
    day: Annotated[date, Field(description="In UTC.")]
    requests: Annotated[int, Field(description="Admitted requests.")]
    searches: Annotated[int, Field(description="Answered searches.")]
    rerank_documents: Annotated[int, Field(description="Documents scored by a reranker.")]
    rerank_remembered: Annotated[int, Field(description="Documents with a cached score, at no cost.")]
    rerank_tokens: Annotated[int, Field(description="Tokens computed by a reranker.")]
    embedded_tokens: Annotated[int, Field(description="Tokens computed by an embedder, of queries and documents.")]
    documents_written: int
    bytes_written: Annotated[int, Field(description="Titles and texts in UTF-8.")]


class UsageResponse(JsonObject):
    """Usage by day and tenant."""

    usage: list[UsageOfDay]


def usage_response(used: Sequence[Usage]) -> UsageResponse:
    return {"usage": [_usage_of_day(each) for each in used]}


def usage_csv(used: Sequence[Usage]) -> str:
    """A line of names first. A tenant's name needs no quotes: it begins with a letter or a digit."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [each.name for each in fields(Usage)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(usage_response(used)["usage"])
    return out.getvalue()


def _usage_of_day(used: Usage) -> UsageOfDay:
    return {
        "tenant": used.tenant,
        "day": used.day,
        "requests": used.requests,
        "searches": used.searches,
        "rerank_documents": used.rerank_documents,
        "rerank_remembered": used.rerank_remembered,
        "rerank_tokens": used.rerank_tokens,
        "embedded_tokens": used.embedded_tokens,
        "documents_written": used.documents_written,
        "bytes_written": used.bytes_written,
    }
