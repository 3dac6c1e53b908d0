"""Bodies and answers of `POST /v1/rerank`, in the shapes of its own, of Jina, Cohere and OpenAI-like clients."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    Discriminator,
    Field,
    StrictBool,
    Tag,
    model_validator,
)

from winnow.api.fields import (
    InstructionText,
    Number,
    QueryText,
    TimeoutMs,
    text_or_object,
)
from winnow.api.schemas.response import Json, ResponseModel
from winnow.rerank.reranker import Ranking
from winnow.retrieval.limits import (
    DOCUMENT_CHARACTERS_MAX,
    RERANK_DOCUMENTS_MAX,
)


class TextDocument(BaseModel):
    """A document as Cohere's v1 and Jina's clients may send it."""

    text: Annotated[str, Field(max_length=DOCUMENT_CHARACTERS_MAX)]


EitherDocument = Annotated[
    Annotated[str, Field(max_length=DOCUMENT_CHARACTERS_MAX), Tag("Text")] | Annotated[TextDocument, Tag("Named")],
    Discriminator(text_or_object),
]


class RerankBody(BaseModel):
    """POST /v1/rerank, as the clients of Cohere, Jina, Voyage and vLLM send it. Fields of theirs that change nothing
    here (max_tokens_per_doc, truncation, user ...) are passed over.
    """

    query: QueryText
    documents: Annotated[list[EitherDocument], Field(min_length=1, max_length=RERANK_DOCUMENTS_MAX)]
    model: str | None = Field(
        default=None,
        description="A reranker that is configured here judges by its name; under any other name "
        "the default does. The answer says which judged.",
    )
    instruction: InstructionText | None = None
    instruct: InstructionText | None = Field(default=None, description="The same, as SGLang spells it.")
    top_n: Annotated[int, Field(ge=0), Number] | None = Field(
        default=None, description="0 or null is all (vLLM's meaning)."
    )
    top_k: Annotated[int, Field(ge=0), Number] | None = Field(
        default=None, description="The same, as Voyage spells it."
    )
    return_documents: StrictBool | None = Field(
        default=None, description="Whether results repeat the texts; true by default."
    )
    timeout_ms: TimeoutMs | None = None

    @model_validator(mode="after")
    def _said_once(self) -> RerankBody:
        for one, other in (("top_n", "top_k"), ("instruction", "instruct")):
            if getattr(self, one) and getattr(self, other) and getattr(self, one) != getattr(self, other):
                raise ValueError(f"{one} and {other} are two names of one field, and differ")
        return self

    @property
    def texts(self) -> list[str]:
        return [document if isinstance(document, str) else document.text for document in self.documents]

    @property
    def wanted(self) -> int:
        return self.top_n or self.top_k or len(self.documents)


class RerankedText(ResponseModel):
    """The document, as Cohere's and Jina's clients read it."""

    text: str


class RerankResult(BaseModel):
    """One judged document."""

    index: int
    relevance_score: float
    document: RerankedText | None = None


class RerankDatum(ResponseModel):
    """The same, as Voyage's client reads it."""

    object: str
    index: int
    relevance_score: float


class RerankUsage(ResponseModel):
    """Tokens computed."""

    prompt_tokens: int
    total_tokens: int


class RerankAnswer(ResponseModel):
    """POST /v1/rerank: one body that the clients of Cohere, Jina, Voyage and vLLM all read."""

    id: str
    object: str
    model: str
    results: list[RerankResult]
    data: list[RerankDatum]
    usage: RerankUsage
    meta: dict[str, Any]


def rerank_answer(ranking: Ranking, *, wanted: int, with_texts: bool) -> Json:
    """`ranking` is of candidates whose chunk number is their place in the request."""
    shown = ranking.ranked[:wanted]
    judged = [{"index": each.candidate.chunk.number, "relevance_score": each.relevance} for each in shown]
    results: list[Json] = [
        {**one, "document": {"text": each.candidate.chunk.text}} if with_texts else one
        for one, each in zip(judged, shown, strict=True)
    ]
    cut = [each.candidate.chunk.number for each in ranking.ranked if each.truncated]
    warnings = [f"only the beginning of document {index} was judged" for index in sorted(cut)]
    return {
        "id": f"req_{uuid.uuid4().hex}",
        "object": "list",
        "model": ranking.judged_by,
        "results": results,
        "data": [{"object": "rerank", **one} for one in judged],
        "usage": {"prompt_tokens": ranking.tokens, "total_tokens": ranking.tokens},
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"search_units": 1},
            "tokens": {"input_tokens": ranking.tokens, "output_tokens": 0},
            "warnings": warnings,
            "winnow": {"judged": ranking.judged, "remembered": ranking.remembered},
        },
    }
