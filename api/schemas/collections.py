"""What does a caller get back about collections, and documents? Built as in api/schemas/search_answer.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
)

from winnow.api.collections.data_folder import Described
from winnow.api.collections.ingest import Emptied, Upserted
from winnow.api.fields import (
    CollectionName,
    FilterChoice,
    InstructionReference,
    Number,
    RerankerName,
    Strict,
)
from winnow.api.schemas.response import Json, ResponseModel
from winnow.api.schemas.search_request import DEMOTE_SAID
from winnow.api.settings import CHUNK_TOKENS_MAX, CHUNK_TOKENS_MIN
from winnow.retrieval.lexical.words import WORD_RULES
from winnow.retrieval.limits import (
    DOCUMENT_CHARACTERS_MAX,
    DOCUMENT_ID_CHARACTERS_MAX,
    TITLE_CHARACTERS_MAX,
    URL_CHARACTERS_MAX,
)
from winnow.retrieval.records import Document


class EmbedderResponse(ResponseModel):
    """What a collection's vectors were made with."""

    name: str
    revision: str
    dimension: int


class CollectionResponse(ResponseModel):
    """A collection."""

    name: str
    embedder: EmbedderResponse
    chunk_tokens: int
    instruction: str | None
    reranker: str | None = Field(description="null where the service's default judges")
    demote_query_echo: bool
    created_at: str
    documents: int | None = Field(description="null, as chunks and store_version, where the collection cannot be read")
    chunks: int | None
    attributes: dict[str, str] | None = Field(
        description="what filters may name, and what it holds: boolean, number, text, list of texts, or several of "
        "these with ` or ` between; null for a collection of an earlier winnow, until its next write"
    )
    store_version: int | None
    word_rules: int | None = Field(
        description=f"the rules by which lexical search tells words apart: {WORD_RULES} today; an earlier winnow's "
        "collection keeps its own until its next fold. null where it cannot be read"
    )
    problem: str | None = Field(
        description="what keeps the collection from being read or written, and which file is at fault; null where "
        "nothing does"
    )


class CollectionsResponse(ResponseModel):
    """GET /v1/collections"""

    collections: list[CollectionResponse]


def collection_response(described: Described) -> Json:
    collection = described.collection
    return {
        "name": collection.name,
        "embedder": {
            "name": collection.embedder.name,
            "revision": collection.embedder.revision,
            "dimension": collection.embedder.dimension,
        },
        "chunk_tokens": collection.chunk_tokens,
        "instruction": collection.instruction,
        "reranker": collection.reranker,
        "demote_query_echo": collection.demote_query_echo,
        "created_at": collection.created_at.isoformat(),
        "documents": described.documents,
        "chunks": described.chunks,
        "attributes": None if described.attributes is None else dict(described.attributes),
        "store_version": described.store_version,
        "word_rules": described.word_rules,
        "problem": described.problem,
    }


class RejectedResponse(ResponseModel):
    """A document that did not go in."""

    line: int = Field(description="counts from 1: line of NDJSON, or place in `documents`")
    id: str | None
    reason: str


class UpsertResponse(ResponseModel):
    """POST /v1/collections/{name}/documents. When it arrives, what was accepted is on the disk and searchable."""

    collection: str
    accepted: int
    unchanged: int = Field(description="of those accepted, how many were there already, word for word")
    chunks: int
    rejected: list[RejectedResponse]
    store_version: int | None = Field(description="null where nothing was written")
    tokens: int


def upsert_response(collection: str, upserted: Upserted) -> Json:
    return {
        "collection": collection,
        "accepted": upserted.accepted,
        "unchanged": upserted.unchanged,
        "chunks": upserted.chunks,
        "rejected": [{"line": each.place.line, "id": each.id, "reason": each.reason} for each in upserted.rejects],
        "store_version": upserted.store_version,
        "tokens": upserted.tokens,
    }


class DocumentResponse(ResponseModel):
    """A document, put together from its chunks: its text, or what was asked for of it."""

    id: str
    title: str
    text: str
    start: int = Field(description="of `text` in the document, in characters (code points)")
    end: int
    characters: int = Field(description="of the whole text")
    url: str | None
    metadata: dict[str, Any]


def document_response(document: Document, *, start: int = 0, end: int | None = None) -> Json:
    """A range that goes beyond the text ends with it."""
    characters = len(document.text)
    first, last, _ = slice(start, end).indices(characters)
    return {
        "id": document.id,
        "title": document.title,
        "text": document.text[first:last],
        "start": first,
        "end": max(first, last),
        "characters": characters,
        "url": document.url,
        "metadata": dict(document.metadata),
    }


class ListedResponse(ResponseModel):
    """A document in a list, without its text."""

    id: str
    title: str
    url: str | None
    characters: int = Field(description="of its text")
    metadata: dict[str, Any]


class DocumentsResponse(ResponseModel):
    """GET /v1/collections/{name}/documents"""

    documents: list[ListedResponse]
    next: str | None = Field(description="`after` of the next page; null where this is the last")


def documents_response(documents: Sequence[Document], following: str | None) -> Json:
    listed = [
        {
            "id": each.id,
            "title": each.title,
            "url": each.url,
            "characters": len(each.text),
            "metadata": {**each.metadata},
        }
        for each in documents
    ]
    return {"documents": listed, "next": following}


class DeletedResponse(ResponseModel):
    """What was removed."""

    deleted: str


class EmptiedResponse(ResponseModel):
    """POST /v1/collections/{name}/delete"""

    collection: str
    documents: int = Field(description="how many matched; with dry_run they are still there")
    dry_run: bool
    store_version: int = Field(description="the first version without them; with dry_run the one that was looked at")


def emptied_response(collection: str, emptied: Emptied) -> Json:
    return {
        "collection": collection,
        "documents": emptied.documents,
        "dry_run": emptied.dry_run,
        "store_version": emptied.store_version,
    }


class CollectionBody(Strict):
    """POST /v1/collections"""

    name: CollectionName
    chunk_tokens: Annotated[int, Field(ge=CHUNK_TOKENS_MIN, le=CHUNK_TOKENS_MAX), Number] | None = Field(
        default=None, description="Most tokens of a chunk; the service's own number unless given."
    )
    instruction: InstructionReference | None = Field(
        default=None,
        description="Published instruction, NAME or NAME@VERSION, that its searches use unless they bring their own.",
    )
    reranker: RerankerName | None = Field(
        default=None, description="Configured reranker that judges its searches; the service's default unless given."
    )
    demote_query_echo: StrictBool = Field(default=False, description=DEMOTE_SAID)


class CollectionChange(Strict):
    """PATCH /v1/collections/{name}: what is left out stays, null goes back to the default."""

    instruction: InstructionReference | None = Field(
        default=None,
        description="Published instruction, NAME or NAME@VERSION, that its searches use unless they bring their own.",
    )
    reranker: RerankerName | None = Field(default=None, description="Configured reranker that judges its searches.")
    demote_query_echo: StrictBool | None = Field(default=None, description=DEMOTE_SAID)


class DeleteBody(Strict):
    """POST /v1/collections/{name}/delete"""

    filter: FilterChoice = Field(description="Which documents go, by their metadata; OpenAI's grammar.")
    dry_run: StrictBool = Field(default=False, description="Says how many would go, and removes none.")


class DocumentBody(BaseModel):
    """POST /v1/collections/{name}/documents: one document; fields beside these become its metadata."""

    model_config = ConfigDict(extra="allow")

    id: Annotated[str | int, Field(description=f"Unique in its collection; {DOCUMENT_ID_CHARACTERS_MAX} characters.")]
    text: Annotated[str, Field(max_length=DOCUMENT_CHARACTERS_MAX)]
    title: Annotated[str, Field(max_length=TITLE_CHARACTERS_MAX)] | None = None
    url: Annotated[str, Field(max_length=URL_CHARACTERS_MAX)] | None = None
    metadata: dict[str, Any] | None = None
