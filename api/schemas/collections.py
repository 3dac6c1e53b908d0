"""Requests and answers about collections and documents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    WithJsonSchema,
)

from winnow.api.collections.data_folder import DataFolder
from winnow.api.collections.described import Described
from winnow.api.collections.disk_use import CollectionUse
from winnow.api.collections.ingest import Emptied, Upserted
from winnow.api.fields import (
    CollectionName,
    FilterChoice,
    InstructionReference,
    Number,
    RerankerName,
    Strict,
)
from winnow.api.schemas.diversity import (
    COLLAPSE_HELP,
    MMR_HELP,
    CollapseLimitsResponse,
    MaybeCollapse,
    MmrLambda,
    collapse_of,
    limits_response,
)
from winnow.api.schemas.doctor import DiskUseResponse, disk_use_response
from winnow.api.schemas.field_choice import EMBED_HELP, RERANK_HELP, TOKENS_HELP, FieldNames, FieldTokens, change_of
from winnow.api.schemas.response import PARTS_SCHEMA, JsonObject, PartResponse, part_responses
from winnow.api.schemas.search_request import DEMOTE_HELP
from winnow.api.settings import CHUNK_TOKENS_MAX, CHUNK_TOKENS_MIN
from winnow.indexer.corpus import Reject
from winnow.retrieval.catalog.collections import KEEP
from winnow.retrieval.lexical.words import WORD_RULES
from winnow.retrieval.limits import (
    DOCUMENT_CHARACTERS_MAX,
    DOCUMENT_ID_CHARACTERS_MAX,
    TITLE_CHARACTERS_MAX,
    URL_CHARACTERS_MAX,
)
from winnow.retrieval.records import Diversity, Document
from winnow.retrieval.tenancy import COMMAND_LINE, Actor, TenantName
from winnow.retrieval.vector_format import VectorFormat

REQUIRE_HELP: Final = (
    "Whether searches are refused while the collection's reranker reads no instruction. Searches with `rerank: false` "
    "are answered."
)

VECTORS_HELP: Final = (
    "How vectors are stored: float32, or float16 in half the room. Searches then compute with rounded vectors, which "
    "moves a cosine by less than 0.0005. Cannot be changed."
)


class CollectionBody(Strict):
    """POST /v1/collections"""

    name: CollectionName
    chunk_tokens: Annotated[int, Field(ge=CHUNK_TOKENS_MIN, le=CHUNK_TOKENS_MAX), Number] | None = Field(
        default=None, description="Maximum tokens per chunk. null or left out: the service's default."
    )
    instruction: InstructionReference | None = Field(
        default=None,
        description="Published instruction, NAME or NAME@VERSION, of searches that name none.",
    )
    reranker: RerankerName | None = Field(
        default=None, description="Name of a configured reranker. null or left out: the service's default."
    )
    vectors: VectorFormat = Field(default=VectorFormat.FLOAT32, description=VECTORS_HELP)
    demote_query_echo: StrictBool = Field(default=False, description=DEMOTE_HELP)
    require_instruction: StrictBool = Field(default=False, description=REQUIRE_HELP)
    rerank_fields: FieldNames | None = Field(default=None, description=RERANK_HELP)
    rerank_field_tokens: FieldTokens | None = Field(default=None, description=TOKENS_HELP)
    embed_fields: FieldNames | None = Field(default=None, description=EMBED_HELP)
    embed_field_tokens: FieldTokens | None = Field(default=None, description=TOKENS_HELP)
    collapse: MaybeCollapse | None = Field(default=None, description=f"{COLLAPSE_HELP} false or null: off.")
    mmr_lambda: MmrLambda | None = Field(default=None, description=f"{MMR_HELP} null: off.")

    @property
    def diversity(self) -> Diversity:
        return Diversity(collapse=collapse_of(self.collapse or False), mmr_lambda=self.mmr_lambda)


class CollectionChange(Strict):
    """PATCH /v1/collections/{name}. Fields that are left out do not change; null resets to the default."""

    instruction: InstructionReference | None = Field(
        default=None,
        description="Published instruction, NAME or NAME@VERSION, of searches that name none.",
    )
    reranker: RerankerName | None = Field(default=None, description="Name of a configured reranker.")
    demote_query_echo: StrictBool | None = Field(default=None, description=DEMOTE_HELP)
    require_instruction: StrictBool | None = Field(default=None, description=REQUIRE_HELP)
    rerank_fields: FieldNames | None = Field(default=None, description=RERANK_HELP)
    rerank_field_tokens: FieldTokens | None = Field(default=None, description=TOKENS_HELP)
    embed_fields: FieldNames | None = Field(default=None, description=EMBED_HELP)
    embed_field_tokens: FieldTokens | None = Field(default=None, description=TOKENS_HELP)
    collapse: MaybeCollapse | None = Field(default=None, description=f"{COLLAPSE_HELP} false or null: off.")
    mmr_lambda: MmrLambda | None = Field(default=None, description=f"{MMR_HELP} null: off.")


class DeleteBody(Strict):
    """POST /v1/collections/{name}/delete"""

    filter: FilterChoice = Field(description="Documents to remove, in the grammar of OpenAI's filters.")
    dry_run: StrictBool = Field(default=False, description="Count the documents without removing any.")


class DocumentBody(BaseModel):
    """POST /v1/collections/{name}/documents: one document. Other fields become its metadata."""

    model_config = ConfigDict(extra="allow")

    id: Annotated[
        str | int, Field(description=f"Unique in its collection, up to {DOCUMENT_ID_CHARACTERS_MAX} characters.")
    ]
    text: Annotated[str, Field(max_length=DOCUMENT_CHARACTERS_MAX)]
    title: Annotated[str, Field(max_length=TITLE_CHARACTERS_MAX)] | None = None
    url: Annotated[str, Field(max_length=URL_CHARACTERS_MAX)] | None = None
    metadata: dict[str, Any] | None = None
    parts: Annotated[list[dict[str, Any]] | None, WithJsonSchema(PARTS_SCHEMA)] = None


class EmbedderResponse(JsonObject):
    """The embedder of a collection's vectors."""

    name: str
    revision: str
    dimension: int


class CollectionResponse(JsonObject):
    """A collection."""

    name: str
    embedder: EmbedderResponse
    chunk_tokens: Annotated[int, Field(description="Maximum tokens per chunk.")]
    vectors: Annotated[
        VectorFormat | None, Field(description="How vectors are stored. null if the collection cannot be read.")
    ]
    instruction: Annotated[str | None, Field(description="null means the tenant's default.")]
    reranker: Annotated[str | None, Field(description="null means the service's default.")]
    demote_query_echo: bool
    require_instruction: Annotated[bool, Field(description=REQUIRE_HELP)]
    rerank_fields: Annotated[list[str], Field(description="What the reranker reads before title and text.")]
    rerank_field_tokens: Annotated[int, Field(description="Maximum tokens of these lines.")]
    embed_fields: Annotated[list[str], Field(description="What the embedder reads before title and text.")]
    embed_field_tokens: Annotated[int, Field(description="Maximum tokens of these lines.")]
    collapse: Annotated[
        CollapseLimitsResponse | None, Field(description="Of searches that do not choose themselves. null: off.")
    ]
    mmr_lambda: Annotated[float | None, Field(description="Likewise.")]
    created_at: datetime
    documents: Annotated[
        int | None, Field(description="null, like chunks and store_version, if the collection cannot be read.")
    ]
    chunks: int | None
    attributes: Annotated[
        dict[str, str] | None,
        Field(
            description="Metadata fields that filters can name, with their types: boolean, number, text, list of "
            "texts, or several of these joined by ` or `. null for a collection of an older winnow until its next "
            "write."
        ),
    ]
    store_version: int | None
    word_rules: Annotated[
        int | None,
        Field(
            description="Version of the rules by which lexical search splits text into words; the newest is "
            f"{WORD_RULES}. A collection of an older winnow keeps its rules until its next fold. null if it cannot be "
            "read."
        ),
    ]
    disk_bytes: Annotated[
        DiskUseResponse | None,
        Field(description="null in a list of collections, and if the collection cannot be read."),
    ]
    problem: Annotated[
        str | None,
        Field(description="Why the collection cannot be read or written, and which file is at fault; null if it can."),
    ]


class CollectionsResponse(JsonObject):
    """GET /v1/collections"""

    collections: list[CollectionResponse]


class RejectedResponse(JsonObject):
    """A document that was not stored."""

    line: Annotated[int, Field(description="Line of NDJSON, or place in `documents`; 1 is the first.")]
    id: str | None
    reason: str


class UpsertResponse(JsonObject):
    """POST /v1/collections/{name}/documents. Accepted documents are on the disk and searchable."""

    collection: str
    accepted: int
    unchanged: Annotated[int, Field(description="Accepted documents that were already stored, word for word.")]
    chunks: int
    rejected: list[RejectedResponse]
    store_version: Annotated[int | None, Field(description="null if nothing was written.")]
    tokens: Annotated[int, Field(description="Tokens computed by the embedder.")]
    cosine_loss: Annotated[
        float | None,
        Field(
            description="By how much rounding to float16 can change the cosine of a written chunk with any query. null "
            "if vectors are float32, or nothing was written."
        ),
    ]


class DocumentResponse(JsonObject):
    """A document, or the requested part of its text."""

    id: str
    title: str
    text: str
    start: Annotated[int, Field(description="Where `text` starts in the document, in characters (code points).")]
    end: int
    characters: Annotated[int, Field(description="Length of the whole text.")]
    url: str | None
    metadata: dict[str, Any]
    parts: Annotated[
        list[PartResponse],
        Field(description="Structural parts with text between `start` and `end`. Empty: the structure is not known."),
    ]


class ListedResponse(JsonObject):
    """A document in a list, without its text."""

    id: str
    title: str
    url: str | None
    characters: Annotated[int, Field(description="Length of its text.")]
    metadata: dict[str, Any]


class DocumentsResponse(JsonObject):
    """GET /v1/collections/{name}/documents"""

    documents: list[ListedResponse]
    next: Annotated[str | None, Field(description="`after` of the next page; null on the last page.")]


class DeletedResponse(JsonObject):
    """What was removed."""

    deleted: str


class EmptiedResponse(JsonObject):
    """POST /v1/collections/{name}/delete"""

    collection: str
    documents: Annotated[int, Field(description="Documents that match. With dry_run they are not removed.")]
    dry_run: bool
    store_version: Annotated[
        int, Field(description="First version without these documents; with dry_run the version that was counted.")
    ]


def apply_change(
    folder: DataFolder, tenant: TenantName, name: str, change: CollectionChange, *, by: Actor = COMMAND_LINE
) -> None:
    """Change what the body names. Blocks. Raises what `DataFolder.change` raises."""
    said = change.model_fields_set
    folder.change(
        tenant,
        name,
        instruction=change.instruction if "instruction" in said else KEEP,
        reranker=change.reranker if "reranker" in said else KEEP,
        demote_query_echo=bool(change.demote_query_echo) if "demote_query_echo" in said else KEEP,
        require_instruction=bool(change.require_instruction) if "require_instruction" in said else KEEP,
        rerank_fields=change_of(change, "rerank_fields", "rerank_field_tokens"),
        embed_fields=change_of(change, "embed_fields", "embed_field_tokens"),
        collapse=collapse_of(change.collapse or False) if "collapse" in said else KEEP,
        mmr_lambda=change.mmr_lambda if "mmr_lambda" in said else KEEP,
        by=by,
    )


def collection_response(described: Described, disk: CollectionUse | None = None) -> CollectionResponse:
    collection = described.collection
    return {
        "name": collection.name,
        "embedder": {
            "name": collection.embedder.name,
            "revision": collection.embedder.revision,
            "dimension": collection.embedder.dimension,
        },
        "chunk_tokens": collection.chunk_tokens,
        "vectors": described.vectors,
        "instruction": collection.instruction,
        "reranker": collection.reranker,
        "demote_query_echo": collection.demote_query_echo,
        "require_instruction": collection.require_instruction,
        "rerank_fields": list(collection.rerank_fields.names),
        "rerank_field_tokens": collection.rerank_fields.tokens_max,
        "embed_fields": list(collection.embed_fields.names),
        "embed_field_tokens": collection.embed_fields.tokens_max,
        "collapse": limits_response(collection.diversity.collapse),
        "mmr_lambda": collection.diversity.mmr_lambda,
        "created_at": collection.created_at,
        "documents": described.documents,
        "chunks": described.chunks,
        "attributes": None if described.attributes is None else dict(described.attributes),
        "store_version": described.store_version,
        "word_rules": described.word_rules,
        "disk_bytes": None if disk is None else disk_use_response(disk),
        "problem": described.problem,
    }


def collections_response(described: Sequence[Described]) -> CollectionsResponse:
    return {"collections": [collection_response(each) for each in described]}


def upsert_response(collection: str, upserted: Upserted) -> UpsertResponse:
    return {
        "collection": collection,
        "accepted": upserted.accepted,
        "unchanged": upserted.unchanged,
        "chunks": upserted.chunks,
        "rejected": [_rejected(each) for each in upserted.rejects],
        "store_version": upserted.store_version,
        "tokens": upserted.tokens,
        "cosine_loss": upserted.cosine_loss,
    }


def document_response(document: Document, *, start: int = 0, end: int | None = None) -> DocumentResponse:
    """A range beyond the end of the text is cut there."""
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
        "parts": part_responses(document.parts, start=first, end=max(first, last)),
    }


def documents_response(documents: Sequence[Document], next_after: str | None) -> DocumentsResponse:
    listed: list[ListedResponse] = [
        {
            "id": each.id,
            "title": each.title,
            "url": each.url,
            "characters": len(each.text),
            "metadata": {**each.metadata},
        }
        for each in documents
    ]
    return {"documents": listed, "next": next_after}


def deleted_response(name: str) -> DeletedResponse:
    return {"deleted": name}


def emptied_response(collection: str, emptied: Emptied) -> EmptiedResponse:
    return {
        "collection": collection,
        "documents": emptied.documents,
        "dry_run": emptied.dry_run,
        "store_version": emptied.store_version,
    }


def _rejected(reject: Reject) -> RejectedResponse:
    assert reject.place.line is not None, "records of a request are counted. This is a bug."
    return {"line": reject.place.line, "id": reject.id, "reason": reject.reason}
