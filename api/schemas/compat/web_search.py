"""Open WebUI's external web search."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import quote

from pydantic import BaseModel, Field

from winnow.api.fields import Number
from winnow.api.schemas.compat.judged_by import LongQuery
from winnow.api.schemas.response import JsonObject
from winnow.retrieval.limits import TOP_K_MAX
from winnow.retrieval.records import Chunk

_RESULTS_DEFAULT: Final = 5


class WebSearchBody(BaseModel):
    """POST /v1/collections/{name}/web_search, as Open WebUI sends it."""

    query: LongQuery
    count: Annotated[int, Field(ge=1, le=TOP_K_MAX), Number] | None = Field(
        default=None, description=f"Number of results; null or left out: {_RESULTS_DEFAULT}."
    )

    @property
    def wanted(self) -> int:
        return self.count or _RESULTS_DEFAULT


class WebResult(JsonObject):
    """A passage."""

    link: str
    title: str
    snippet: str


def web_result(collection: str, chunk: Chunk) -> WebResult:
    """A document without a URL gets a name that stays the same."""
    return {
        "link": chunk.url or f"urn:winnow:{collection}:{quote(chunk.document_id)}",
        "title": chunk.title or chunk.document_id,
        "snippet": chunk.text,
    }
