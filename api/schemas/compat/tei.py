"""Reranking in the dialect of Text Embeddings Inference (TEI): `texts` in, a bare list out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, NotRequired

from pydantic import BaseModel, Discriminator, Field

from winnow.api.schemas.compat.judged_by import JudgedBy, LongQuery, RawScores
from winnow.api.schemas.compat.rerank import score_of
from winnow.api.schemas.response import JsonObject
from winnow.rerank.reranker import Ranked
from winnow.retrieval.limits import DOCUMENT_CHARACTERS_MAX, RERANK_DOCUMENTS_MAX


class TextsBody(JudgedBy):
    """POST /rerank, as TEI's clients send it. `truncate` and `truncation_direction` are ignored: a text that is too
    long is cut at its end.
    """

    query: LongQuery
    texts: Annotated[
        list[Annotated[str, Field(max_length=DOCUMENT_CHARACTERS_MAX)]],
        Field(min_length=1, max_length=RERANK_DOCUMENTS_MAX),
    ]
    raw_scores: RawScores = None
    return_text: bool | None = Field(default=None, description="Whether results hold the texts; false by default.")


class TextScore(JsonObject):
    """The score of one text."""

    index: Annotated[int, Field(description="Place of the text in the request; 0 is the first.")]
    score: float
    text: NotRequired[Annotated[str, Field(description="Only with `return_text`.")]]


class TextsProblem(BaseModel):
    """The body of an error in TEI's dialect: `error` is a text."""

    type: str
    title: str
    status: int
    detail: str
    message: str
    error: str
    error_type: str
    id: str
    limit: str | None = None


def is_tei(body: object) -> bool:
    """Whether a body of `/rerank` is in TEI's dialect, by the field that only one of the two dialects has."""
    return isinstance(body, TextsBody) or (isinstance(body, dict) and "texts" in body and "documents" not in body)


TextsOrDocuments: Final = Discriminator(lambda body: "Texts" if is_tei(body) else "Documents")  # tags, not fields


def texts_response(shown: Sequence[Ranked], *, raw: bool, with_text: bool) -> list[TextScore]:
    """The body for TEI's clients: all texts, best first."""
    return [_score(each, raw=raw, with_text=with_text) for each in shown]


def _score(ranked: Ranked, *, raw: bool, with_text: bool) -> TextScore:
    chunk = ranked.candidate.chunk
    body: TextScore = {"index": chunk.number, "score": score_of(ranked, raw=raw)}
    if with_text:
        body["text"] = chunk.text
    return body
