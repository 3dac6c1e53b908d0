"""What may be sent about keys and tenants? A key is always one of the caller's own tenant: no body names another."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, StrictBool

from winnow.api.schemas.search_request import Number, Strict
from winnow.retrieval.catalog.keys import KeyScope, KeyWish
from winnow.retrieval.catalog.quotas import LIMIT_MAX, WEIGHT_MAX, WEIGHT_MIN, TenantLimits
from winnow.retrieval.limits import KEY_DAYS_MAX, KEY_NOTE_CHARACTERS_MAX, TENANT_NAME_PATTERN

OVERLAP_SECONDS_DEFAULT = 3_600  # a deployment of whoever uses the key takes less
SECONDS_A_DAY = 86_400

Scopes = Annotated[
    frozenset[Literal[KeyScope.SEARCH, KeyScope.WRITE, KeyScope.ADMIN, KeyScope.OPERATOR]],
    Field(min_length=1, description="What it may do; none of them contains another. Only an operator makes operators."),
]
Note = Annotated[str, Field(max_length=KEY_NOTE_CHARACTERS_MAX, description="What it is for.")]
Lifetime = Annotated[
    float | None,
    Field(gt=0, le=KEY_DAYS_MAX, description="Days until it expires; never unless given."),
    Number,
]

Most = Annotated[int | None, Field(ge=0, le=LIMIT_MAX), Number]


class KeyBody(Strict):
    """POST /v1/keys"""

    scopes: Scopes = frozenset({KeyScope.SEARCH})
    note: Note = ""
    expires_in_days: Lifetime = None

    def wish(self) -> KeyWish:
        lifetime = None if self.expires_in_days is None else timedelta(days=self.expires_in_days)
        return KeyWish(scopes=frozenset(self.scopes), lifetime=lifetime, note=self.note)


class RotateBody(Strict):
    """POST /v1/keys/ID/rotate"""

    overlap_seconds: Annotated[
        int,
        Field(ge=0, le=KEY_DAYS_MAX * SECONDS_A_DAY, description="How long the old key is accepted still."),
        Number,
    ] = OVERLAP_SECONDS_DEFAULT


class LimitsBody(Strict):
    """PUT /v1/tenants/NAME/limits. Left out or null is as the deployment has it, 0 is no limit."""

    requests_per_minute: Most = None
    rerank_tokens_per_minute: Most = None
    concurrent_requests: Most = None
    documents: Most = None
    bytes: Most = None
    weight: Annotated[
        float | None,
        Field(ge=WEIGHT_MIN, le=WEIGHT_MAX, description="Of its share of the reranker beside others."),
        Number,
    ] = None

    def limits(self) -> TenantLimits:
        return TenantLimits(**self.model_dump())


class TenantBody(Strict):
    """POST /v1/tenants"""

    name: Annotated[str, Field(pattern=TENANT_NAME_PATTERN, examples=["library"])]


class TenantChange(Strict):
    """PATCH /v1/tenants/NAME"""

    disabled: StrictBool
