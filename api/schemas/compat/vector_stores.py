"""Collections in the shape of OpenAI's vector stores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final

from pydantic import BaseModel, Field

from winnow.api.fields import AbsentIfEmpty, MaybeFilter, Number
from winnow.api.library.instructions import NamedInstruction
from winnow.api.schemas.compat.judged_by import LongQuery
from winnow.api.schemas.response import JsonObject
from winnow.api.schemas.search_request import EitherInstruction, wanted_instruction
from winnow.retrieval.catalog.uploads import FileStatus, StoreNotes, file_id_of
from winnow.retrieval.limits import SEARCH_QUERIES_MAX
from winnow.retrieval.records import Chunk, Metadata

RESULTS_MAX: Final = 50  # OpenAI's limit
RESULTS_DEFAULT: Final = 10
ATTRIBUTES_MAX: Final = 16  # of a result, as OpenAI's clients expect
ATTRIBUTE_CHARACTERS_MAX: Final = 512  # likewise


class RankingOptions(BaseModel):
    """How results are ranked; `ranker` is ignored."""

    score_threshold: Annotated[float, Field(ge=0.0, le=1.0), Number] | None = Field(
        default=None, description="Least relevance. Where nothing was reranked it is not applied; the answer says so."
    )


class VectorStoreSearchBody(BaseModel):
    """POST /v1/vector_stores/{id}/search, as OpenAI's clients send it. Other fields (rewrite_query) are ignored."""

    query: LongQuery | Annotated[list[LongQuery], Field(min_length=1, max_length=SEARCH_QUERIES_MAX)] = Field(
        description="A query, or several, whose candidates are fused; the reranker judges by the first."
    )
    filters: MaybeFilter = Field(default=None, description="An attribute that the collection lacks matches nothing.")
    max_num_results: Annotated[int, Field(ge=1, le=RESULTS_MAX), Number] | None = None
    ranking_options: RankingOptions | None = None
    instruction: Annotated[EitherInstruction | None, AbsentIfEmpty] = Field(
        default=None, description="What counts as relevant: a text, or a published instruction of the library."
    )

    @property
    def queries(self) -> list[str]:
        return [self.query] if isinstance(self.query, str) else self.query

    @property
    def wanted_instruction(self) -> str | NamedInstruction | None:
        return wanted_instruction(self.instruction)


class FileCounts(JsonObject):
    """Attached files; of a collection that was filled otherwise, its documents."""

    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


class VectorStoreResponse(JsonObject):
    """A collection."""

    id: str
    object: str
    name: str
    created_at: Annotated[int, Field(description="Seconds since 1970.")]
    last_active_at: None
    status: Annotated[str, Field(description="completed, or expired if it was built with another embedder.")]
    file_counts: FileCounts
    usage_bytes: int
    expires_after: None
    expires_at: None
    metadata: dict[str, str]


class VectorStoresResponse(JsonObject):
    """GET /v1/vector_stores"""

    object: str
    data: list[VectorStoreResponse]
    first_id: str | None
    last_id: str | None
    has_more: bool


class TextContent(JsonObject):
    """The text of a passage."""

    type: str
    text: str


class VectorStoreHit(JsonObject):
    """A passage."""

    file_id: Annotated[str, Field(description="Id of the file that was attached, or of the document.")]
    filename: Annotated[str, Field(description="Name of that file, or the title of the document, or its id.")]
    score: Annotated[float, Field(description="For display: in [0, 1], falling from result to result. No relevance.")]
    attributes: Annotated[
        dict[str, str | float | bool], Field(description="The first 16 texts, numbers and booleans of the metadata.")
    ]
    content: list[TextContent]


class SearchNotes(JsonObject):
    """What OpenAI's shape does not say."""

    threshold_applied: bool
    reason: Annotated[str | None, Field(description="Why a threshold was not applied.")]
    ranked_by: Annotated[str | None, Field(description="What orders the results; null: nothing was searched.")]
    judged_by: str | None
    relevance: Annotated[list[float | None], Field(description="Of each result; null: it was not reranked.")]


class VectorStorePage(JsonObject):
    """POST /v1/vector_stores/{id}/search"""

    object: str
    search_query: list[str]
    data: list[VectorStoreHit]
    has_more: bool
    next_page: None
    winnow: SearchNotes


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A collection as a vector store."""

    id: str
    created_at: datetime
    documents: int
    is_usable: bool
    notes: StoreNotes | None = None
    files: Mapping[FileStatus, tuple[int, int]] = field(default_factory=dict)  # number and bytes by status


def vector_store_response(store: Store) -> VectorStoreResponse:
    """Count files where there are any, else documents."""
    files = {status: store.files.get(status, (0, 0)) for status in FileStatus}
    completed = files[FileStatus.COMPLETED][0] if store.files else store.documents
    under_way, failed = files[FileStatus.IN_PROGRESS][0], files[FileStatus.FAILED][0]
    return {
        "id": store.id,
        "object": "vector_store",
        "name": store.id if store.notes is None else store.notes.name,
        "created_at": int(store.created_at.timestamp()),
        "last_active_at": None,
        "status": "completed" if store.is_usable else "expired",
        "file_counts": {
            "in_progress": under_way,
            "completed": completed,
            "failed": failed,
            "cancelled": 0,
            "total": under_way + completed + failed,
        },
        "usage_bytes": sum(bytes_ for _, bytes_ in files.values()),
        "expires_after": None,
        "expires_at": None,
        "metadata": {} if store.notes is None else dict(store.notes.metadata),
    }


def vector_stores_response(stores: Sequence[VectorStoreResponse], *, has_more: bool) -> VectorStoresResponse:
    return {
        "object": "list",
        "data": list(stores),
        "first_id": stores[0]["id"] if stores else None,
        "last_id": stores[-1]["id"] if stores else None,
        "has_more": has_more,
    }


def attributes_of(metadata: Metadata) -> dict[str, str | float | bool]:
    """The attributes that OpenAI's clients can read."""
    found: dict[str, str | float | bool] = {}
    for name, value in metadata.items():
        if len(found) == ATTRIBUTES_MAX:
            break
        if isinstance(value, bool | int | float):
            found[name] = value
        elif isinstance(value, str):
            found[name] = value[:ATTRIBUTE_CHARACTERS_MAX]
    return found


def file_ids_of(chunks: Iterable[Chunk]) -> frozenset[str]:
    """Return the attached files that these passages are of."""
    return frozenset(file_id for each in chunks if (file_id := file_id_of(each.document_id)) is not None)


def vector_store_hit(chunk: Chunk, score: float, names: Mapping[str, str]) -> VectorStoreHit:
    """`names` are those of the files, as far as they are there."""
    file_id = file_id_of(chunk.document_id)
    own_name = chunk.title or chunk.document_id
    return {
        "file_id": file_id or chunk.document_id,
        "filename": own_name if file_id is None else names.get(file_id, own_name),
        "score": score,
        "attributes": attributes_of(chunk.metadata),
        "content": [{"type": "text", "text": chunk.text}],
    }
