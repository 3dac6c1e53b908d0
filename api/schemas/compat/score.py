"""Scoring of pairs, as vLLM's `/score` does it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, TypeAlias

from pydantic import AliasChoices, Field, model_validator

from winnow.api.schemas.compat.judged_by import JudgedBy, LongQuery
from winnow.api.schemas.compat.rerank import RerankUsage
from winnow.api.schemas.response import JsonObject
from winnow.retrieval.limits import DOCUMENT_CHARACTERS_MAX, RERANK_DOCUMENTS_MAX
from winnow.retrieval.tracing import answer_id

Text = Annotated[str, Field(max_length=DOCUMENT_CHARACTERS_MAX)]
Pairs: TypeAlias = dict[str, list[int]]  # places of the texts to score, by query


class ScoreBody(JudgedBy):
    """POST /score, as vLLM's clients send it: one query with each text, or as many queries as texts."""

    queries: LongQuery | Annotated[list[LongQuery], Field(min_length=1, max_length=RERANK_DOCUMENTS_MAX)] = Field(
        validation_alias=AliasChoices("queries", "text_1", "data_1"), description="Also `text_1` and `data_1`."
    )
    documents: Text | Annotated[list[Text], Field(min_length=1, max_length=RERANK_DOCUMENTS_MAX)] = Field(
        validation_alias=AliasChoices("documents", "items", "text_2", "data_2"),
        description="Also `items`, `text_2` and `data_2`.",
    )

    @model_validator(mode="after")
    def _check_counts(self) -> ScoreBody:
        if isinstance(self.queries, list) and len(self.queries) not in {1, len(self.texts)}:
            raise ValueError(
                f"{len(self.queries)} queries and {len(self.texts)} texts; send one query, or one for each"
            )
        return self

    @property
    def texts(self) -> list[str]:
        return [self.documents] if isinstance(self.documents, str) else self.documents

    @property
    def pairs(self) -> Pairs:
        """Which texts each query is scored with."""
        queries = [self.queries] if isinstance(self.queries, str) else self.queries
        found: Pairs = {}
        for place in range(len(self.texts)):
            found.setdefault(queries[place if len(queries) > 1 else 0], []).append(place)
        return found


class PairScore(JsonObject):
    """The score of one pair."""

    index: int
    object: str
    score: Annotated[float, Field(description="Relevance in [0, 1].")]


class ScoreResponse(JsonObject):
    """POST /score: the scores in the order of the texts."""

    id: str
    object: str
    created: Annotated[int, Field(description="Seconds since 1970.")]
    model: Annotated[str, Field(description="Name of the reranker.")]
    data: list[PairScore]
    usage: RerankUsage


def score_response(scores: Sequence[float], *, model: str, tokens: int) -> ScoreResponse:
    return {
        "id": answer_id(),
        "object": "list",
        "created": int(time.time()),
        "model": model,
        "data": [{"index": place, "object": "score", "score": score} for place, score in enumerate(scores)],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
