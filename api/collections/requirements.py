"""What a run of indexing may require of a collection that exists already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from winnow.api.collections.embed_fields import fields_said, other_fields_refused
from winnow.retrieval.catalog.collections import KEEP_FIELDS, FieldsChange
from winnow.retrieval.document_fields import FieldChoice
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.vector_format import VectorFormat


class Made(Protocol):
    """What is compared of a collection: of the catalog, or as a service describes it."""

    @property
    def name(self) -> str: ...

    @property
    def chunk_tokens(self) -> int: ...

    @property
    def reranker(self) -> str | None: ...

    @property
    def rerank_fields(self) -> FieldChoice: ...

    @property
    def embed_fields(self) -> FieldChoice: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """How the collection must be made; None and KEEP_FIELDS: as it is, or as the default of a new one is."""

    chunk_tokens: int | None = None
    reranker: str | None = None
    rerank_fields: FieldsChange = KEEP_FIELDS
    embed_fields: FieldsChange = KEEP_FIELDS
    vectors: VectorFormat | None = None

    def check(self, made: Made, vectors: VectorFormat | None) -> None:
        """Check a collection whose store has this format; None: that is not known.

        Raises `InvalidRequest` if the collection has another chunk size, reranker, format or other fields.
        """
        name = made.name
        if self.chunk_tokens is not None and self.chunk_tokens != made.chunk_tokens:
            raise InvalidRequest(
                f"{name} has chunks of up to {made.chunk_tokens} tokens, not {self.chunk_tokens}; remove it first, or "
                "use another"
            )
        if self.vectors is not None and vectors is not None and self.vectors != vectors:
            raise InvalidRequest(
                f"{name} stores its vectors as {vectors}, which cannot be changed; index the corpus into another "
                f"collection with --vectors {self.vectors}"
            )
        if self.reranker is not None and self.reranker != made.reranker:
            raise InvalidRequest(
                f"{name} already exists and uses {made.reranker or 'the default reranker'}; "
                f"change it with `winnow collections set-reranker {name} {self.reranker}`"
            )
        if self.rerank_fields.of(now := made.rerank_fields) != now:
            raise InvalidRequest(
                f"the reranker of {name} reads {fields_said(now)}; change that with "
                f"`winnow collections set-rerank-fields {name} FIELD...`"
            )
        if self.embed_fields.of(now := made.embed_fields) != now:
            raise InvalidRequest(other_fields_refused(made, "exists"))


ANY: Final = Requirements()
