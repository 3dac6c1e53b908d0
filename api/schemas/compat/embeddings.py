"""Embeddings in OpenAI's shape."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, Field

from winnow.api.fields import AbsentIfEmpty, Number
from winnow.api.schemas.response import JsonObject
from winnow.retrieval.limits import DOCUMENT_CHARACTERS_MAX, EMBEDDED_TEXTS_MAX
from winnow.retrieval.records import Vectors


def _refuse_ids(value: Any) -> Any:
    """Ids of another vocabulary would give vectors that mean nothing, and ids do not say whose they are."""
    if value == []:
        raise ValueError("at least one text is expected")
    first = value[0] if isinstance(value, list) else value
    if isinstance(first, int) or (isinstance(first, list) and all(isinstance(each, int) for each in first)):
        raise ValueError(
            "token ids are not accepted, as nothing says which vocabulary they are of; send texts "
            "(LangChain's OpenAIEmbeddings: check_embedding_ctx_length=False)"
        )
    return value


Text = Annotated[str, Field(max_length=DOCUMENT_CHARACTERS_MAX)]


class EmbeddingsBody(BaseModel):
    """POST /v1/embeddings, as the clients of OpenAI and Voyage send it. Other fields (user, truncation) are ignored."""

    input: Annotated[
        Text | Annotated[list[Text], Field(min_length=1, max_length=EMBEDDED_TEXTS_MAX)], BeforeValidator(_refuse_ids)
    ] = Field(description="A text, or a list of texts. Longer ones are cut to the model's window.")
    model: Annotated[str | None, AbsentIfEmpty] = Field(
        default=None, description="Any name; the answer names the embedder that ran."
    )
    dimensions: Annotated[int, Field(ge=1), Number] | None = Field(
        default=None, description="Keep only the first dimensions, renormalised. null or left out: all."
    )
    output_dimension: Annotated[int, Field(ge=1), Number] | None = Field(
        default=None, description="Voyage's name of `dimensions`, which comes first."
    )
    output_dtype: Annotated[Literal["float"] | None, AbsentIfEmpty] = Field(
        default=None, description="Voyage's number format; others than float are refused."
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        default=None, description="base64: float32, little-endian."
    )
    input_type: Annotated[Literal["query", "document"] | None, AbsentIfEmpty] = Field(
        default=None,
        description="query: with the embedder's task before the text, for searching. document, null or left out: as "
        "documents are indexed.",
    )

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input

    @property
    def wanted_dimensions(self) -> int | None:
        return self.output_dimension if self.dimensions is None else self.dimensions


class EmbeddingDatum(JsonObject):
    """One vector."""

    object: str
    index: int
    embedding: Annotated[list[float] | str, Field(description="Unit length; base64 if `encoding_format` says so.")]


class EmbeddingUsage(JsonObject):
    """Tokens that the embedder computed."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingCounts(JsonObject):
    """What OpenAI's shape does not say."""

    truncated: Annotated[list[int], Field(description="Places of texts that were cut to the model's window.")]


class EmbeddingsResponse(JsonObject):
    """POST /v1/embeddings"""

    object: str
    data: Annotated[list[EmbeddingDatum], Field(description="In the order of the texts.")]
    model: Annotated[str, Field(description="Name of the embedder.")]
    usage: EmbeddingUsage
    winnow: EmbeddingCounts


def shortened(vectors: Vectors, dimensions: int | None) -> Vectors:
    """(n, dimension) to (n, dimensions), of unit length again."""
    if dimensions is None or dimensions == vectors.shape[1]:
        return vectors
    kept = vectors[:, :dimensions].astype(np.float64)
    lengths = np.linalg.norm(kept, axis=1, keepdims=True)
    return (kept / np.where(lengths == 0.0, 1.0, lengths)).astype(np.float32)


def embeddings_response(
    vectors: Vectors, *, model: str, tokens: int, truncated: Sequence[int], as_base64: bool
) -> EmbeddingsResponse:
    return {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": place,
                "embedding": base64.b64encode(row.astype("<f4").tobytes()).decode("ascii")
                if as_base64
                else row.tolist(),
            }
            for place, row in enumerate(vectors)
        ],
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "winnow": {"truncated": list(truncated)},
    }
