"""Limits of request bodies, by route. Routes without an entry use `OTHER`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from winnow.retrieval.json_bounds import SMALL_JSON, JsonBounds
from winnow.retrieval.limits import (
    BODY_BYTES_MAX,
    DOCUMENTS_VALUES_MAX,
    EMBEDDING_VALUES_MAX,
    FILE_BYTES_MAX,
    LIBRARY_BYTES_MAX,
    REQUEST_BYTES_MAX,
    RERANK_BYTES_MAX,
    RERANK_VALUES_MAX,
    SEARCH_BYTES_MAX,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimit:
    """The limits of a route's body."""

    bytes: int
    json: JsonBounds = SMALL_JSON
    is_streamed: bool = False  # the route reads the body itself, piece by piece


OTHER: Final = BodyLimit(bytes=BODY_BYTES_MAX)
SEARCH: Final = BodyLimit(bytes=SEARCH_BYTES_MAX)
TEXTS: Final = BodyLimit(bytes=RERANK_BYTES_MAX, json=JsonBounds(values=RERANK_VALUES_MAX, keys=RERANK_VALUES_MAX))
DOCUMENTS: Final = BodyLimit(
    bytes=REQUEST_BYTES_MAX, json=JsonBounds(values=DOCUMENTS_VALUES_MAX, keys=DOCUMENTS_VALUES_MAX)
)
EMBEDDED: Final = BodyLimit(
    bytes=RERANK_BYTES_MAX, json=JsonBounds(values=EMBEDDING_VALUES_MAX, keys=RERANK_VALUES_MAX)
)
UPLOAD: Final = BodyLimit(bytes=FILE_BYTES_MAX + BODY_BYTES_MAX, is_streamed=True)  # with the form around the file
INSTRUCTION: Final = BodyLimit(bytes=LIBRARY_BYTES_MAX)

BODY_LIMITS: Final[Mapping[str, BodyLimit]] = {
    "/v1/search": SEARCH,
    "/v1/collections/{name}/search": SEARCH,
    "/v1/collections/{name}/web_search": SEARCH,
    "/v1/vector_stores/{name}/search": SEARCH,
    "/v1/files": UPLOAD,
    "/retrieval": SEARCH,
    "/mcp": SEARCH,
    "/v1/rerank": TEXTS,
    "/v2/rerank": TEXTS,
    "/rerank": TEXTS,
    "/score": TEXTS,
    "/v1/score": TEXTS,
    "/v1/embeddings": EMBEDDED,
    "/v1/collections/{name}/documents": DOCUMENTS,
    "/v1/collections/{name}/delete": SEARCH,
    "/v1/instructions": INSTRUCTION,
    "/v1/instructions/import": INSTRUCTION,
    "/v1/instructions/preview": TEXTS,
    "/v1/instructions/try": SEARCH,
    "/v1/instructions/{name}/draft": INSTRUCTION,
    "/v1/stability/golden": TEXTS,
}


def body_limit(path: str) -> BodyLimit:
    """Return the limits of the route with this path pattern."""
    return BODY_LIMITS.get(path, OTHER)
