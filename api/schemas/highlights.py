"""Highlights in answers: the sentences of a passage that carry its relevance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal, NotRequired

from pydantic import BaseModel, ConfigDict, Field

from winnow.api.fields import Number
from winnow.api.schemas.response import JsonObject
from winnow.api.search.records import Highlighted, LeftOutReason
from winnow.rerank.highlight import Highlight, HighlightWish
from winnow.retrieval.limits import HIGHLIGHT_TOKENS_MAX

HIGHLIGHT_HELP: Final = (
    "Add `highlights`: the sentences of each passage that carry its relevance, judged one by one by the reranker, "
    f"within {HIGHLIGHT_TOKENS_MAX:,} tokens. What cannot be judged has none, and `highlight` says why."
)


class RelevantSpans(BaseModel):
    """`relevant_spans` of a request, as Cohere's clients send it."""

    model_config = ConfigDict(extra="ignore")

    mode: Literal["enabled", "disabled"] = "enabled"
    threshold: Annotated[float, Field(ge=0, le=1), Number] = Field(
        default=0.1, description="Least relevance of a span."
    )
    max_spans: Annotated[int, Field(ge=1), Number] | None = Field(
        default=None, description="Maximum spans of a document, the best ones. null or left out: all."
    )

    @property
    def wish(self) -> HighlightWish:
        return HighlightWish(relevance_min=self.threshold, share_min=0.0, spans_max=self.max_spans)


class HighlightResponse(JsonObject):
    """A sentence of the passage: characters (code points) of `text`, half-open."""

    start: int
    end: int
    text: str
    relevance: Annotated[float, Field(description="The reranker's score of the sentence alone, in [0, 1].")]


class RelevantSpan(JsonObject):
    """A sentence of the document, as Cohere's clients read it: characters (code points), half-open."""

    start: int
    end: int
    score: float


class HighlightParts(JsonObject):
    """What a passage of an answer has if the request wants highlights."""

    highlights: NotRequired[
        Annotated[
            list[HighlightResponse] | None,
            Field(description="Only with `highlight`, in the order of the text. null: the passage was not judged."),
        ]
    ]


class HighlightReport(JsonObject):
    """Whether all passages were judged sentence by sentence."""

    left_out: Annotated[int, Field(description="Passages that were not judged; the first ones are judged first.")]
    reason: Annotated[
        LeftOutReason | None,
        Field(description="token_limit, or why the reranker did not answer. null: none is left out."),
    ]
    tokens: Annotated[int, Field(description="Tokens that the reranker computed for the sentences.")]
    ms: Annotated[float, Field(description="Milliseconds; part of the whole answer's.")]


def add_highlights(parts: HighlightParts, number: int, text: str, highlighted: Highlighted | None) -> None:
    """Add the highlights of the passage with this chunk number; none if they were not wanted."""
    if highlighted is None:
        return
    spans = highlighted.found.spans.get(number)
    parts["highlights"] = None if spans is None else [_highlight(each, text) for each in spans]


def highlight_report(highlighted: Highlighted) -> HighlightReport:
    return {
        "left_out": highlighted.found.left_out,
        "reason": highlighted.reason,
        "tokens": highlighted.found.tokens,
        "ms": round(highlighted.ms, 3),
    }


def relevant_spans(spans: Sequence[Highlight]) -> list[RelevantSpan]:
    return [{"start": each.start, "end": each.end, "score": each.relevance} for each in spans]


def _highlight(span: Highlight, text: str) -> HighlightResponse:
    return {"start": span.start, "end": span.end, "text": text[span.start : span.end], "relevance": span.relevance}
