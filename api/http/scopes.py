"""The scope that each route requires, and which routes cost. The complete and only tables.

A route without an entry cannot be created (api/http/auth.py). Scopes are independent. `OPEN` routes reveal nothing of a
tenant: without a key /readyz omits every name and address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from winnow.retrieval.catalog.keys import KeyScope

OPEN: Final = "open"
Needed: TypeAlias = KeyScope | Literal["open"]

SEARCH, WRITE, ADMIN, OPERATOR = KeyScope.SEARCH, KeyScope.WRITE, KeyScope.ADMIN, KeyScope.OPERATOR

NEEDED: Final[Mapping[tuple[str, str], Needed]] = {
    ("POST", "/v1/search"): SEARCH,
    ("POST", "/v1/rerank"): SEARCH,
    ("POST", "/v2/rerank"): SEARCH,
    ("POST", "/rerank"): SEARCH,
    ("POST", "/score"): SEARCH,
    ("POST", "/v1/score"): SEARCH,
    ("POST", "/v1/embeddings"): SEARCH,
    ("GET", "/v1/models"): OPEN,
    ("GET", "/v1/models/{name}"): OPEN,
    ("POST", "/v1/feedback"): SEARCH,
    ("GET", "/v1/judgments"): ADMIN,
    ("DELETE", "/v1/judgments"): ADMIN,
    ("PUT", "/v1/judgments/settings"): ADMIN,
    ("GET", "/v1/collections"): SEARCH,
    ("POST", "/v1/collections"): WRITE,
    ("GET", "/v1/collections/{name}"): SEARCH,
    ("PATCH", "/v1/collections/{name}"): WRITE,
    ("DELETE", "/v1/collections/{name}"): WRITE,
    ("POST", "/v1/collections/{name}/documents"): WRITE,
    ("GET", "/v1/collections/{name}/documents"): SEARCH,
    ("GET", "/v1/collections/{name}/documents/{document_id:path}"): SEARCH,
    ("DELETE", "/v1/collections/{name}/documents/{document_id:path}"): WRITE,
    ("POST", "/v1/collections/{name}/delete"): WRITE,
    ("GET", "/v1/collections/{name}/generations"): SEARCH,
    ("POST", "/v1/collections/{name}/generations/rollback"): WRITE,
    ("POST", "/v1/collections/{name}/fold"): WRITE,
    ("GET", "/v1/instructions"): SEARCH,
    ("POST", "/v1/instructions"): ADMIN,
    ("GET", "/v1/instructions/default"): SEARCH,
    ("PUT", "/v1/instructions/default"): ADMIN,
    ("GET", "/v1/instructions/export"): SEARCH,
    ("POST", "/v1/instructions/import"): ADMIN,
    ("POST", "/v1/instructions/preview"): SEARCH,
    ("POST", "/v1/instructions/try"): SEARCH,
    ("GET", "/v1/instructions/shadows"): SEARCH,
    ("GET", "/v1/instructions/builtin/{name}"): SEARCH,
    ("GET", "/v1/instructions/{name}"): SEARCH,
    ("GET", "/v1/instructions/{name}/versions/{version}"): SEARCH,
    ("GET", "/v1/instructions/{name}/diff"): SEARCH,
    ("GET", "/v1/instructions/{name}/shadow"): ADMIN,
    ("PUT", "/v1/instructions/{name}/shadow"): ADMIN,
    ("DELETE", "/v1/instructions/{name}/shadow"): ADMIN,
    ("PUT", "/v1/instructions/{name}/draft"): ADMIN,
    ("POST", "/v1/instructions/{name}/versions/{version}/publish"): ADMIN,
    ("POST", "/v1/instructions/{name}/versions/{version}/promote"): ADMIN,
    ("POST", "/v1/instructions/{name}/versions/{version}/retire"): ADMIN,
    ("DELETE", "/v1/instructions/{name}/versions/{version}"): ADMIN,
    ("GET", "/v1/stability"): ADMIN,
    ("GET", "/v1/stability/golden"): ADMIN,
    ("POST", "/v1/stability/golden"): ADMIN,
    ("DELETE", "/v1/stability/golden/{name}"): ADMIN,
    ("GET", "/v1/stability/runs"): ADMIN,
    ("POST", "/v1/stability/runs"): ADMIN,
    ("GET", "/v1/stability/runs/{number}"): ADMIN,
    ("GET", "/v1/stability/sampling"): ADMIN,
    ("PUT", "/v1/stability/sampling"): ADMIN,
    ("GET", "/v1/stability/thresholds"): ADMIN,
    ("PUT", "/v1/stability/thresholds"): ADMIN,
    ("DELETE", "/v1/stability/thresholds"): ADMIN,
    ("GET", "/v1/keys"): ADMIN,
    ("POST", "/v1/keys"): ADMIN,
    ("POST", "/v1/keys/{key_id}/rotate"): ADMIN,
    ("DELETE", "/v1/keys/{key_id}"): ADMIN,
    ("GET", "/v1/grants"): ADMIN,
    ("PUT", "/v1/collections/{name}/grants/{reader}"): ADMIN,
    ("DELETE", "/v1/collections/{name}/grants/{reader}"): ADMIN,
    ("GET", "/v1/audit"): ADMIN,
    ("GET", "/v1/usage"): ADMIN,
    ("GET", "/v1/limits"): SEARCH,
    ("GET", "/v1/tenants"): OPERATOR,
    ("POST", "/v1/tenants"): OPERATOR,
    ("PATCH", "/v1/tenants/{name}"): OPERATOR,
    ("POST", "/v1/tenants/{name}/keys"): OPERATOR,
    ("GET", "/v1/tenants/{name}/limits"): OPERATOR,
    ("PUT", "/v1/tenants/{name}/limits"): OPERATOR,
    ("GET", "/metrics"): OPERATOR,
    ("GET", "/healthz"): OPEN,
    ("GET", "/readyz"): OPEN,
}  # fmt: skip

COSTLY: Final = frozenset({  # what these compute is charged to the tenant (api/accounting.py)
    ("POST", "/v1/search"),
    ("POST", "/v1/rerank"),
    ("POST", "/v2/rerank"),
    ("POST", "/rerank"),
    ("POST", "/score"),
    ("POST", "/v1/score"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/collections/{name}/documents"),
    ("POST", "/v1/instructions/try"),
    ("POST", "/v1/stability/runs"),
})  # fmt: skip
