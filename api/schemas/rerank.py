"""Request and answer of `POST /v1/rerank`, as the clients of Cohere, Jina, Voyage and vLLM send and read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, NotRequired

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    Tag,
    model_validator,
)

from winnow.api.fields import (
    InstructionText,
    Number,
    QueryText,
    TextOrObject,
    TimeoutMs,
)
from winnow.api.schemas.diversity import (
    COLLAPSE_HELP,
    CollapsedText,
    CollapseLimits,
    MaybeCollapse,
    MmrLambda,
    collapse_of,
    collapsed_texts,
)
from winnow.api.schemas.field_choice import TOKENS_HELP, FieldNames, FieldTokens, RankFields, choice_of
from winnow.api.schemas.highlights import (
    HIGHLIGHT_HELP,
    HighlightParts,
    HighlightReport,
    RelevantSpan,
    RelevantSpans,
    add_highlights,
    highlight_report,
    relevant_spans,
)
from winnow.api.schemas.response import JsonObject
from winnow.api.schemas.search_response import InstructionApplied
from winnow.api.search.records import Highlighted
from winnow.rerank.highlight import DEFAULT_WISH, HighlightWish
from winnow.rerank.near_duplicates import Diversified
from winnow.rerank.reranker import Ranked, Ranking
from winnow.retrieval.limits import (
    DOCUMENT_CHARACTERS_MAX,
    RERANK_DOCUMENTS_MAX,
)
from winnow.retrieval.records import Diversity, FieldLines, Metadata
from winnow.retrieval.tracing import answer_id


class TextDocument(BaseModel):
    """A document, as the clients of Cohere's v1 and of Jina may send it. `rerank_fields` can name its other fields."""

    model_config = ConfigDict(extra="allow")

    text: Annotated[str, Field(max_length=DOCUMENT_CHARACTERS_MAX)]


EitherDocument = Annotated[
    Annotated[str, Field(max_length=DOCUMENT_CHARACTERS_MAX), Tag("Text")] | Annotated[TextDocument, Tag("Named")],
    TextOrObject,
]


class RerankBody(BaseModel):
    """POST /v1/rerank, as the clients of Cohere, Jina, Voyage and vLLM send it. Fields that have no meaning in winnow
    (max_tokens_per_doc, truncation, user ...) are ignored.
    """

    query: QueryText
    documents: Annotated[list[EitherDocument], Field(min_length=1, max_length=RERANK_DOCUMENTS_MAX)]
    model: str | None = Field(
        default=None,
        description="Name of a configured reranker. Any other name means the default reranker. The answer names the "
        "one that ran.",
    )
    instruction: InstructionText | None = None
    instruct: InstructionText | None = Field(default=None, description="Same as `instruction`, in SGLang's spelling.")
    top_n: Annotated[int, Field(ge=0), Number] | None = Field(
        default=None, description="Number of results. 0 or null returns all, as in vLLM."
    )
    top_k: Annotated[int, Field(ge=0), Number] | None = Field(
        default=None, description="Same as `top_n`, in Voyage's spelling."
    )
    rerank_fields: FieldNames | None = Field(
        default=None, description="Fields of documents that are objects, read as `name: value` lines before the text."
    )
    rank_fields: RankFields | None = Field(
        default=None, description="Same as `rerank_fields`, in Cohere's spelling. `text` may stand among them."
    )
    rerank_field_tokens: FieldTokens | None = Field(default=None, description=TOKENS_HELP)
    return_documents: StrictBool | None = Field(
        default=None, description="Whether results hold the texts; true by default."
    )
    collapse: MaybeCollapse | None = Field(
        default=None, description=f"{COLLAPSE_HELP} Only by shingles: these documents have no stored vectors."
    )
    highlight: StrictBool | None = Field(default=None, description=HIGHLIGHT_HELP)
    relevant_spans: RelevantSpans | None = Field(
        default=None, description="Highlights in Cohere's spelling, with limits of your own."
    )
    mmr_lambda: MmrLambda | None = Field(
        default=None, description="Refused: MMR compares stored vectors, which these documents do not have."
    )
    timeout_ms: TimeoutMs | None = None

    @model_validator(mode="after")
    def _check_synonyms(self) -> RerankBody:
        for one, other in (
            ("top_n", "top_k"),
            ("instruction", "instruct"),
            ("rerank_fields", "rank_fields"),
        ):
            if getattr(self, one) and getattr(self, other) and getattr(self, one) != getattr(self, other):
                raise ValueError(f"{one} and {other} are two names of one field, but their values differ")
        return self

    @model_validator(mode="after")
    def _check_highlights(self) -> RerankBody:
        if self.highlight and self.relevant_spans is not None:
            raise ValueError("highlight and relevant_spans are two shapes of one thing; send one of them")
        return self

    @model_validator(mode="after")
    def _check_diversity(self) -> RerankBody:
        if isinstance(self.collapse, CollapseLimits) and self.collapse.cosine is not None:
            raise ValueError("collapse.cosine needs stored vectors, which these documents lack; use collapse.shingles")
        if self.mmr_lambda is not None:
            raise ValueError("mmr_lambda needs stored vectors, which these documents lack; use collapse.shingles")
        return self

    @property
    def diversity(self) -> Diversity:
        return Diversity(collapse=collapse_of(self.collapse or False))

    @property
    def highlight_wish(self) -> HighlightWish | None:
        """Which sentences are wanted; None: none."""
        if self.relevant_spans is not None and self.wants_spans:
            return self.relevant_spans.wish
        return DEFAULT_WISH if self.highlight else None

    @property
    def wants_spans(self) -> bool:
        """Whether highlights are wanted in Cohere's shape."""
        return self.relevant_spans is not None and self.relevant_spans.mode == "enabled"

    @property
    def texts(self) -> list[str]:
        return [document if isinstance(document, str) else document.text for document in self.documents]

    def field_lines(self) -> list[FieldLines]:
        """Return what is read before each text. Takes up to seconds of a large body: call it in a thread."""
        choice = choice_of(self.rerank_fields or self.rank_fields, self.rerank_field_tokens)
        return [
            choice.lines(id=None, title="", url=None, metadata=self._other_fields(document))
            for document in self.documents
        ]

    @staticmethod
    def _other_fields(document: str | TextDocument) -> Metadata:
        return {} if isinstance(document, str) else document.model_extra or {}

    @property
    def wanted(self) -> int:
        return self.top_n or self.top_k or len(self.documents)


class RerankedText(JsonObject):
    """The document, as the clients of Cohere and Jina read it."""

    text: str


class RerankResult(HighlightParts):
    """One reranked document."""

    index: Annotated[int, Field(description="Place of the document in the request; 0 is the first.")]
    relevance_score: float
    document: NotRequired[Annotated[RerankedText, Field(description="Only with `return_documents`.")]]
    collapsed: NotRequired[
        Annotated[list[CollapsedText], Field(description="Only with `collapse`: the documents that it stands for.")]
    ]
    relevant_spans: NotRequired[
        Annotated[
            list[RelevantSpan],
            Field(description="Only with `relevant_spans`; missing where the document was not judged."),
        ]
    ]


class RerankDatum(JsonObject):
    """One reranked document, as Voyage's client reads it."""

    object: str
    index: int
    relevance_score: float


class RerankUsage(JsonObject):
    """Tokens that the reranker computed."""

    prompt_tokens: int
    total_tokens: int


class ApiVersion(JsonObject):
    """The version of Cohere's API that this answer follows."""

    version: str


class BilledUnits(JsonObject):
    """One search unit per request, as Cohere's client reads it."""

    search_units: int


class RerankTokens(JsonObject):
    """Tokens that the reranker computed, as Cohere's client reads them."""

    input_tokens: int
    output_tokens: int


class RerankCounts(JsonObject):
    """What was reranked, and how."""

    judged: Annotated[int, Field(description="Documents with a relevance score.")]
    remembered: Annotated[int, Field(description="Documents of `judged` whose score came from the cache.")]
    instruction_applied: InstructionApplied
    collapsed: NotRequired[Annotated[int, Field(description="Only with `collapse`: documents that were left out.")]]
    highlight: NotRequired[Annotated[HighlightReport, Field(description="Only with `highlight` or `relevant_spans`.")]]


class RerankMeta(JsonObject):
    """What Cohere's client reads besides the results."""

    api_version: ApiVersion
    billed_units: BilledUnits
    tokens: RerankTokens
    warnings: Annotated[
        list[str], Field(description="Documents of which only the beginning was read; missing highlights.")
    ]
    winnow: RerankCounts


class RerankResponse(JsonObject):
    """POST /v1/rerank: one body for the clients of Cohere, Jina, Voyage and vLLM."""

    id: str
    object: str
    model: Annotated[str, Field(description="Name of the reranker.")]
    results: Annotated[list[RerankResult], Field(description="Best first.")]
    data: Annotated[list[RerankDatum], Field(description="The same documents, as Voyage's client reads them.")]
    usage: RerankUsage
    meta: RerankMeta


def shown_of(ranking: Ranking, diversified: Diversified | None, wanted: int) -> Sequence[Ranked]:
    """The documents that an answer shows, best first."""
    return (ranking.ranked if diversified is None else diversified.kept)[:wanted]


def rerank_response(
    ranking: Ranking,
    *,
    wanted: int,
    with_texts: bool,
    diversified: Diversified | None = None,
    highlighted: Highlighted | None = None,
    as_spans: bool = False,
) -> RerankResponse:
    """The body of POST /v1/rerank. A candidate's chunk number is its place in the request.

    With `as_spans` highlights are in Cohere's shape.
    """
    shown = shown_of(ranking, diversified, wanted)
    tokens = ranking.tokens + (0 if highlighted is None else highlighted.found.tokens)
    cut = sorted(each.candidate.chunk.number for each in ranking.ranked if each.truncated)
    return {
        "id": answer_id(),
        "object": "list",
        "model": ranking.judged_by,
        "results": [_result(each, diversified, highlighted, with_text=with_texts, as_spans=as_spans) for each in shown],
        "data": [
            {"object": "rerank", "index": each.candidate.chunk.number, "relevance_score": _score(each)}
            for each in shown
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"search_units": 1},
            "tokens": {"input_tokens": tokens, "output_tokens": 0},
            "warnings": [
                *(f"only the beginning of document {index} was judged" for index in cut),
                *_describe_left_out(highlighted),
            ],
            "winnow": _counts(ranking, diversified, highlighted),
        },
    }


def _describe_left_out(highlighted: Highlighted | None) -> Iterator[str]:
    if highlighted is not None and highlighted.reason is not None:
        yield f"documents without highlights: {highlighted.found.left_out} ({highlighted.reason})"


def _counts(ranking: Ranking, diversified: Diversified | None, highlighted: Highlighted | None) -> RerankCounts:
    counts: RerankCounts = {
        "judged": ranking.judged,
        "remembered": ranking.remembered,
        "instruction_applied": ranking.instruction_applied,
    }
    if diversified is not None:
        counts["collapsed"] = len(ranking.ranked) - len(diversified.kept)
    if highlighted is not None:
        counts["highlight"] = highlight_report(highlighted)
    return counts


def _result(
    ranked: Ranked,
    diversified: Diversified | None,
    highlighted: Highlighted | None,
    *,
    with_text: bool,
    as_spans: bool,
) -> RerankResult:
    chunk = ranked.candidate.chunk
    body: RerankResult = {"index": chunk.number, "relevance_score": _score(ranked)}
    if with_text:
        body["document"] = {"text": chunk.text}
    if diversified is not None:
        body["collapsed"] = collapsed_texts(ranked, diversified)
    if not as_spans:
        add_highlights(body, chunk.number, chunk.text, highlighted)
    elif highlighted is not None and (spans := highlighted.found.spans.get(chunk.number)) is not None:
        body["relevant_spans"] = relevant_spans(spans)
    return body


def _score(ranked: Ranked) -> float:
    assert ranked.relevance is not None, "every document of a request is reranked. This is a bug."
    return ranked.relevance
