"""Request and answer of `POST /v1/rerank`, as the clients of Cohere, Jina, Voyage, Infinity and vLLM use them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, NotRequired, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    Tag,
    model_validator,
)

from winnow.api.fields import Number, TextOrObject, TimeoutMs
from winnow.api.library.instructions import AppliedInstruction
from winnow.api.schemas.compat.judged_by import JudgedBy, LongQuery, RawScores
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
from winnow.rerank.relevance import logit_of
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

    text: Annotated[str, Field(max_length=DOCUMENT_CHARACTERS_MAX)] | None = Field(
        default=None, description="Required unless `rank_fields` names the fields to read."
    )


EitherDocument = Annotated[
    Annotated[str, Field(max_length=DOCUMENT_CHARACTERS_MAX), Tag("Text")] | Annotated[TextDocument, Tag("Named")],
    TextOrObject,
]


class RerankBody(JudgedBy):
    """POST /v1/rerank, as the clients of Cohere, Jina, Voyage, Infinity and vLLM send it. Fields that have no meaning
    in winnow (max_tokens_per_doc, truncation, user ...) are ignored. A query that is too long is cut, and
    `meta.warnings` says so.
    """

    query: LongQuery
    documents: Annotated[list[EitherDocument], Field(min_length=1, max_length=RERANK_DOCUMENTS_MAX)]
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
    raw_scores: RawScores = None
    timeout_ms: TimeoutMs | None = None

    @model_validator(mode="after")
    def _check_texts(self) -> Self:
        for place, document in enumerate(self.documents):
            if isinstance(document, TextDocument) and document.text is None and not self.rank_fields:
                raise ValueError(f"the field 'documents.{place}.text' is missing; rank_fields may name others to read")
        return self

    @model_validator(mode="after")
    def _check_synonyms(self) -> Self:
        for one, other in (("top_n", "top_k"), ("rerank_fields", "rank_fields")):
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
        return [document if isinstance(document, str) else self._text_of(document) for document in self.documents]

    def field_lines(self) -> list[FieldLines]:
        """Return what is read before each text. Takes up to seconds of a large body: call it in a thread."""
        choice = choice_of(self.rerank_fields or self.rank_fields, self.rerank_field_tokens)
        return [
            choice.lines(id=None, title="", url=None, metadata=self._other_fields(document))
            for document in self.documents
        ]

    def _text_of(self, document: TextDocument) -> str:
        """The text, or else the fields that `rank_fields` names, as Cohere's v1 reads them."""
        if document.text is not None:
            return document.text
        fields = document.model_extra or {}
        return "\n".join(f"{name}: {fields[name]}" for name in self.rank_fields or () if fields.get(name) is not None)

    @staticmethod
    def _other_fields(document: str | TextDocument) -> Metadata:
        """The fields that are read before the text; those of a document without one are its text."""
        if isinstance(document, str) or document.text is None:
            return {}
        return document.model_extra or {}

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
    """Tokens of the request, also where scores came from the cache (`meta.winnow.tokens_computed` leaves those out)."""

    prompt_tokens: int
    total_tokens: int


class ApiVersion(JsonObject):
    """The version of Cohere's API that this answer follows."""

    version: str


class BilledUnits(JsonObject):
    """One search unit per request, as Cohere's client reads it."""

    search_units: int


class RerankTokens(JsonObject):
    """Tokens of the request, as Cohere's client reads them."""

    input_tokens: int
    output_tokens: int


class RerankCounts(JsonObject):
    """What was reranked, and how."""

    judged: Annotated[int, Field(description="Documents with a relevance score.")]
    remembered: Annotated[int, Field(description="Documents of `judged` whose score came from the cache.")]
    tokens_computed: Annotated[int, Field(description="Tokens that a model computed for this request.")]
    instruction_applied: InstructionApplied
    instruction: NotRequired[
        Annotated[str, Field(description="Only for an instruction of the library: its name and version.")]
    ]
    collapsed: NotRequired[Annotated[int, Field(description="Only with `collapse`: documents that were left out.")]]
    highlight: NotRequired[Annotated[HighlightReport, Field(description="Only with `highlight` or `relevant_spans`.")]]


class RerankMeta(JsonObject):
    """What Cohere's client reads besides the results."""

    api_version: ApiVersion
    billed_units: BilledUnits
    tokens: RerankTokens
    warnings: Annotated[
        list[str],
        Field(description="Documents, or a query, of which only the beginning was read; missing highlights."),
    ]
    winnow: RerankCounts


class RerankResponse(JsonObject):
    """POST /v1/rerank: one body for the clients of Cohere, Jina, Voyage, Infinity and vLLM."""

    id: str
    object: str
    model: Annotated[str, Field(description="Name of the reranker.")]
    results: Annotated[list[RerankResult], Field(description="Best first.")]
    data: Annotated[list[RerankDatum], Field(description="The same documents, as Voyage's client reads them.")]
    usage: RerankUsage
    meta: RerankMeta


def rerank_response(
    ranking: Ranking,
    *,
    shown: Sequence[Ranked],
    with_texts: bool = True,
    diversified: Diversified | None = None,
    highlighted: Highlighted | None = None,
    as_spans: bool = False,
    raw: bool = False,
    instruction: AppliedInstruction | None = None,
    cut_query: str | None = None,
) -> RerankResponse:
    """The body of POST /v1/rerank. A candidate's chunk number is its place in the request.

    With `as_spans` highlights are in Cohere's shape; with `raw` scores are logits. `cut_query` is a warning.
    """
    tokens = ranking.tokens_read + (0 if highlighted is None else highlighted.found.tokens)
    cut = sorted(each.candidate.chunk.number for each in ranking.ranked if each.truncated)
    return {
        "id": answer_id(),
        "object": "rerank",
        "model": ranking.judged_by,
        "results": [
            _result(each, diversified, highlighted, with_text=with_texts, as_spans=as_spans, raw=raw) for each in shown
        ],
        "data": [
            {"object": "rerank", "index": each.candidate.chunk.number, "relevance_score": score_of(each, raw=raw)}
            for each in shown
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"search_units": 1},
            "tokens": {"input_tokens": tokens, "output_tokens": 0},
            "warnings": [
                *([cut_query] if cut_query else []),
                *(f"only the beginning of document {index} was judged" for index in cut),
                *_describe_left_out(highlighted),
            ],
            "winnow": _counts(ranking, diversified, highlighted, instruction),
        },
    }


def _describe_left_out(highlighted: Highlighted | None) -> Iterator[str]:
    if highlighted is not None and highlighted.reason is not None:
        yield f"documents without highlights: {highlighted.found.left_out} ({highlighted.reason})"


def _counts(
    ranking: Ranking,
    diversified: Diversified | None,
    highlighted: Highlighted | None,
    instruction: AppliedInstruction | None,
) -> RerankCounts:
    counts: RerankCounts = {
        "judged": ranking.judged,
        "remembered": ranking.remembered,
        "tokens_computed": ranking.tokens + (0 if highlighted is None else highlighted.found.tokens),
        "instruction_applied": ranking.instruction_applied,
    }
    if instruction is not None and instruction.name is not None:
        counts["instruction"] = instruction.said
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
    raw: bool,
) -> RerankResult:
    chunk = ranked.candidate.chunk
    body: RerankResult = {"index": chunk.number, "relevance_score": score_of(ranked, raw=raw)}
    if with_text:
        body["document"] = {"text": chunk.text}
    if diversified is not None:
        body["collapsed"] = collapsed_texts(ranked, diversified)
    if not as_spans:
        add_highlights(body, chunk.number, chunk.text, highlighted)
    elif highlighted is not None and (spans := highlighted.found.spans.get(chunk.number)) is not None:
        body["relevant_spans"] = relevant_spans(spans)
    return body


def score_of(ranked: Ranked, *, raw: bool) -> float:
    """The relevance, or its logit."""
    assert ranked.relevance is not None, "every document of a request is reranked. This is a bug."
    return logit_of(ranked.relevance) if raw else ranked.relevance
