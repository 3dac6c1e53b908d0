"""The base of every answer, and the place of a passage in its document and file, which several show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, NotRequired, cast

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic reads the one of `typing` from Python 3.12 on only

from winnow.retrieval.chat.rewriting import RewriteReason, RewriteStatus, Rewriting
from winnow.retrieval.limits import (
    HEADING_CHARACTERS_MAX,
    HEADINGS_MAX,
    LOCATION_CHARACTERS_MAX,
    LOCATION_NUMBER_MAX,
    PART_HEADER_CHARACTERS_MAX,
    PARTS_MAX,
)
from winnow.retrieval.records import NOWHERE, Location, Part, PartKind
from winnow.retrieval.search.context import Context, Extract
from winnow.retrieval.structure import known_places

_FROM_ONE: Final = {"type": "integer", "minimum": 1, "maximum": LOCATION_NUMBER_MAX}
_NAME: Final = {"type": "string", "maxLength": LOCATION_CHARACTERS_MAX}
_PART_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["start", "end"],
    "properties": {
        "start": {"type": "integer", "minimum": 0},
        "end": {"type": "integer", "minimum": 1},
        "kind": {"type": "string", "enum": [kind.value for kind in PartKind], "default": PartKind.PROSE.value},
        "section": {
            "type": "array",
            "maxItems": HEADINGS_MAX,
            "items": {"type": "string", "maxLength": HEADING_CHARACTERS_MAX},
        },
        "header": {"type": "string", "maxLength": PART_HEADER_CHARACTERS_MAX},
        "location": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                **dict.fromkeys(("page", "slide", "row", "row_end", "cell", "line", "line_end"), _FROM_ONE),
                **dict.fromkeys(("sheet", "symbol", "anchor"), _NAME),
            },
        },
    },
}
PARTS_SCHEMA: Final[dict[str, Any]] = {  # written out: the schema of a body cannot refer to another one
    "anyOf": [{"type": "array", "maxItems": PARTS_MAX, "items": _PART_SCHEMA}, {"type": "null"}],
    "description": "Structural parts of `text` in order, without gaps, in characters (code points): sections, pages, "
    "tables. No chunk has text of two parts.",
}


@with_config(ConfigDict(extra="forbid"))
class JsonObject(TypedDict):
    """A JSON object in an answer: every key that its class declares, and no other.

    The class is the one definition of the answer. OpenAPI shows it, and mypy checks the dict that a function returns
    against it, key by key. At run time the answer is that dict: nothing is validated, copied or converted.
    """


class RewriteResponse(JsonObject):
    """What became of a conversation."""

    status: Annotated[
        RewriteStatus,
        Field(
            description="applied: a chat model wrote the query. skipped: the last message of the user is the query. "
            "degraded: likewise, because rewriting failed."
        ),
    ]
    reason: Annotated[
        RewriteReason | None,
        Field(
            description="Why the last message is the query; null if applied. refused: the chat model declines. "
            "unusable_answer: what it wrote is empty, too long, or no question of this conversation. breaker_open: it "
            "failed before and is left alone until it answers a check."
        ),
    ]
    model: Annotated[str | None, Field(description="Name of the chat model; null if none was asked.")]
    tokens: Annotated[int, Field(description="Tokens that it read and wrote, as its server counts them.")]


class QueryParts(JsonObject):
    """What an answer tells about its queries."""

    query_used: NotRequired[
        Annotated[str, Field(description="Only with `messages` or `queries`: the main query, by which is reranked.")]
    ]
    queries_used: NotRequired[
        Annotated[
            list[str], Field(description="Only with `explain` and several queries: each once, the main query first.")
        ]
    ]
    rewrite: NotRequired[Annotated[RewriteResponse, Field(description="Only with `messages`.")]]


class FoundByPart(JsonObject):
    """Which queries found a candidate."""

    found_by: NotRequired[
        Annotated[
            list[int | None],
            Field(
                description="Only with several queries: its place in the list of each of `queries_used`. null: that "
                "query did not find it."
            ),
        ]
    ]


class ChunkPlace(JsonObject):
    """Where a chunk lies in its document: characters (code points), half-open."""

    ordinal: Annotated[int, Field(description="0 for the document's first chunk.")]
    start: int
    end: int


class LocationResponse(JsonObject):
    """Where in its file a passage stands. Only what is known; numbers count from 1."""

    page: NotRequired[int]
    slide: NotRequired[int]
    sheet: NotRequired[Annotated[str, Field(description="Name of a worksheet.")]]
    row: NotRequired[Annotated[int, Field(description="First row of the passage.")]]
    row_end: NotRequired[Annotated[int, Field(description="Its last row.")]]
    cell: NotRequired[Annotated[int, Field(description="Cell of a notebook.")]]
    line: NotRequired[Annotated[int, Field(description="First line of the passage.")]]
    line_end: NotRequired[Annotated[int, Field(description="Its last line.")]]
    symbol: NotRequired[Annotated[str, Field(description="Dotted name of a function or class.")]]
    anchor: NotRequired[Annotated[str, Field(description="Id of an element of the page above the passage.")]]


Section = Annotated[list[str], Field(description="Headings above the passage, outermost first, without the title.")]
Header = Annotated[str, Field(description="Column names of the passage's table; empty if its text begins with them.")]


class PlaceParts(JsonObject):
    """What a passage of an answer tells about its place in the document."""

    section: Section
    header: Header
    location: LocationResponse


class ExtractResponse(PlaceParts):
    """A part of the document's text: characters (code points), half-open."""

    start: int
    end: int
    text: str


class ContextResponse(JsonObject):
    """The text directly before and after a chunk. null if there is none, or if this answer already shows it."""

    before: ExtractResponse | None
    after: ExtractResponse | None


class PartResponse(JsonObject):
    """A structural part of a document's text: characters (code points), half-open."""

    start: int
    end: int
    kind: Annotated[PartKind, Field(description="Where it may be cut: prose anywhere, rows and code between lines.")]
    section: Section
    header: Annotated[str, Field(description="Column names, which every later chunk of a table repeats.")]
    location: LocationResponse


def location_response(location: Location) -> LocationResponse:
    if location is NOWHERE:
        return {}
    return cast("LocationResponse", known_places(location))


def context_response(context: Context) -> ContextResponse:
    return {"before": _extract(context.before), "after": _extract(context.after)}


def _extract(extract: Extract | None) -> ExtractResponse | None:
    if extract is None:
        return None
    return {
        "start": extract.start,
        "end": extract.end,
        "text": extract.text,
        "section": list(extract.section),
        "header": extract.header,
        "location": location_response(extract.location),
    }


def part_responses(parts: Sequence[Part], *, start: int, end: int) -> list[PartResponse]:
    """The parts that have text between `start` and `end`."""
    return [
        {
            "start": part.start,
            "end": part.end,
            "kind": part.kind,
            "section": list(part.section),
            "header": part.header,
            "location": location_response(part.location),
        }
        for part in parts
        if part.start < end and start < part.end
    ]


def add_queries(body: QueryParts, queries: Sequence[str], rewriting: Rewriting | None, *, explain: bool) -> None:
    """Tell which queries were asked, if that is not simply the caller's one."""
    if len(queries) > 1 or rewriting is not None:
        body["query_used"] = queries[0]
    if len(queries) > 1 and explain:
        body["queries_used"] = list(queries)
    if rewriting is not None:
        body["rewrite"] = {
            "status": rewriting.status,
            "reason": rewriting.reason,
            "model": rewriting.model,
            "tokens": rewriting.tokens,
        }
