"""Bodies and answers for collections and documents."""

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
    """The embedding model of a collection's vectors."""

    name: str
    revision: str
    dimension: int


class CollectionResponse(ResponseModel):
    """A collection."""

    name: str
    embedder: EmbedderResponse
    chunk_tokens: int
    instruction: str | None
    reranker: str | None = Field(description="null: the service's default")
    demote_query_echo: bool
    created_at: str
    documents: int | None = Field(description="null, like chunks and store_version, if the collection cannot be read")
    chunks: int | None
    attributes: dict[str, str] | None = Field(
        description="attributes for filters, with their type: boolean, number, text, list of texts, or several of "
        "these joined by ` or `; null for a collection of an earlier winnow, until its next write"
    )
    store_version: int | None
    word_rules: int | None = Field(
        description=f"version of the rules that split texts into words, now {WORD_RULES}; older collections "
        "keep theirs until their next fold. null if it cannot be read"
    )
    problem: str | None = Field(
        description="what prevents reading or writing the collection, and which file is faulty; null if nothing does"
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
    """A rejected document."""

    line: int = Field(description="line of NDJSON, or position in `documents`, from 1")
    id: str | None
    reason: str


class UpsertResponse(ResponseModel):
    """POST /v1/collections/{name}/documents. Accepted documents are on the disk and searchable."""

    collection: str
    accepted: int
    unchanged: int = Field(description="accepted documents that were already stored unchanged")
    chunks: int
    rejected: list[RejectedResponse]
    store_version: int | None = Field(description="null if nothing was written")
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
    """A document, reassembled from its chunks, with its text or the requested part."""

    id: str
    title: str
    text: str
    start: int = Field(description="start of `text` in the document, in characters (code points)")
    end: int
    characters: int = Field(description="length of the whole text, in characters")
    url: str | None
    metadata: dict[str, Any]


def document_response(document: Document, *, start: int = 0, end: int | None = None) -> Json:
    """Build the body; a range beyond the text ends with it."""
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
    """A document in a listing, without its text."""

    id: str
    title: str
    url: str | None
    characters: int = Field(description="length of its text, in characters")
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
    """The name of what was removed."""

    deleted: str


class EmptiedResponse(ResponseModel):
    """POST /v1/collections/{name}/delete"""

    collection: str
    documents: int = Field(description="number of matching documents; with dry_run they are not removed")
    dry_run: bool
    store_version: int = Field(description="the first version without them; with dry_run the version that was read")


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
        default=None, description="Maximum tokens per chunk. Default: the service's setting."
    )
    instruction: InstructionReference | None = Field(
        default=None,
        description="Published instruction, NAME or NAME@VERSION, for searches without their own.",
    )
    reranker: RerankerName | None = Field(
        default=None, description="Configured reranker for its searches. Default: the service's default."
    )
    demote_query_echo: StrictBool = Field(default=False, description=DEMOTE_SAID)


class CollectionChange(Strict):
    """PATCH /v1/collections/{name}: omitted fields stay, null returns to the default."""

    instruction: InstructionReference | None = Field(
        default=None,
        description="Published instruction, NAME or NAME@VERSION, for searches without their own.",
    )
    reranker: RerankerName | None = Field(default=None, description="Configured reranker for its searches.")
    demote_query_echo: StrictBool | None = Field(default=None, description=DEMOTE_SAID)


class DeleteBody(Strict):
    """POST /v1/collections/{name}/delete"""

    filter: FilterChoice = Field(description="Documents to remove, by their metadata; in OpenAI's grammar.")
    dry_run: StrictBool = Field(default=False, description="Count matching documents without removing them.")


class DocumentBody(BaseModel):
    """POST /v1/collections/{name}/documents: one document; any other fields become its metadata."""

    model_config = ConfigDict(extra="allow")

    id: Annotated[
        str | int, Field(description=f"Unique in its collection; at most {DOCUMENT_ID_CHARACTERS_MAX} characters.")
    ]
    text: Annotated[str, Field(max_length=DOCUMENT_CHARACTERS_MAX)]
    title: Annotated[str, Field(max_length=TITLE_CHARACTERS_MAX)] | None = None
    url: Annotated[str, Field(max_length=URL_CHARACTERS_MAX)] | None = None
    metadata: dict[str, Any] | None = None
