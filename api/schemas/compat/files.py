"""Uploaded files, alone and in vector stores, in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, field_validator

from winnow.api.fields import Number
from winnow.api.schemas.response import JsonObject
from winnow.retrieval.catalog.uploads import AttachedFile, FileFault, FileStatus, UploadedFile
from winnow.retrieval.limits import ATTRIBUTE_KEY_CHARACTERS_MAX, ATTRIBUTE_TEXT_CHARACTERS_MAX, FILES_LISTED_MAX

PAGE_DEFAULT: Final = 20
PAGE_MAX: Final = 100
FILES_PAGE_MAX: Final = FILES_LISTED_MAX
ATTRIBUTES_MAX: Final = 16
PURPOSE_PATTERN: Final = r"^[a-z][a-z0-9_-]{0,63}$"
UPLOAD_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "One file. Other fields are refused: a file does not expire.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "description": "A word such as assistants or user_data."},
                    },
                },
            }
        },
    }
}

_Key = Annotated[str, Field(min_length=1, max_length=ATTRIBUTE_KEY_CHARACTERS_MAX)]
_Value = (
    Annotated[str, Field(max_length=ATTRIBUTE_TEXT_CHARACTERS_MAX)]
    | bool
    | Annotated[int, Number]
    | Annotated[float, Number]
)
Attributes = Annotated[
    dict[_Key, _Value],
    Field(max_length=ATTRIBUTES_MAX, description="Texts, numbers and booleans, which a search can filter by."),
]


class FileResponse(JsonObject):
    """An uploaded file."""

    id: str
    object: str
    bytes: int
    created_at: Annotated[int, Field(description="Seconds since 1970.")]
    expires_at: None
    filename: str
    purpose: str
    status: str
    status_details: None


class FilesResponse(JsonObject):
    """GET /v1/files"""

    object: str
    data: list[FileResponse]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedObject(JsonObject):
    """Something that is gone."""

    id: str
    object: str
    deleted: bool


class LastError(JsonObject):
    """Why a file could not be read."""

    code: FileFault
    message: str


class StaticChunks(JsonObject):
    """The chunk size of the collection."""

    max_chunk_size_tokens: int
    chunk_overlap_tokens: int


class ChunkingStrategy(JsonObject):
    """How a file is cut."""

    type: str
    static: StaticChunks


class FileNotes(JsonObject):
    """What OpenAI's shape does not say."""

    documents: Annotated[int, Field(description="Documents that the file became.")]
    rejected: Annotated[int, Field(description="Records, pages or members that could not be read.")]
    first_reject: Annotated[str | None, Field(description="Place and reason of the first of them.")]


class StoreFileResponse(JsonObject):
    """A file in a vector store."""

    id: str
    object: str
    created_at: int
    vector_store_id: str
    status: FileStatus
    last_error: LastError | None
    usage_bytes: int
    attributes: dict[str, str | float | bool]
    chunking_strategy: ChunkingStrategy
    winnow: FileNotes


class StoreFilesResponse(JsonObject):
    """GET /v1/vector_stores/{name}/files"""

    object: str
    data: list[StoreFileResponse]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileText(JsonObject):
    """The text of a document."""

    type: str
    text: str


class FileContentResponse(JsonObject):
    """GET /v1/vector_stores/{name}/files/{file_id}/content"""

    object: str
    data: list[FileText]
    has_more: bool
    next_page: None


class _ChunkingChoice(BaseModel):
    """A wish for chunks of a certain size, which belongs to the collection."""

    type: Literal["auto"] = Field(description="auto: the collection's chunk size. Others are refused.")


class AttachBody(BaseModel):
    """POST /v1/vector_stores/{name}/files"""

    file_id: Annotated[str, Field(min_length=1, max_length=64)]
    attributes: Attributes | None = None
    chunking_strategy: _ChunkingChoice | None = None


class AttributesBody(BaseModel):
    """POST /v1/vector_stores/{name}/files/{file_id}"""

    attributes: Attributes | None = Field(description="They take the place of all former ones.")


class StoreBody(BaseModel):
    """POST /v1/vector_stores/{name}: what is left out stays as it is."""

    name: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    metadata: (
        Annotated[
            dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
        ]
        | None
    ) = None
    expires_after: object = Field(default=None, description="Refused: a collection does not expire.")

    @field_validator("expires_after")
    @classmethod
    def _refuse_expiry(cls, value: object) -> object:
        if value is not None:
            raise ValueError("a collection does not expire; leave it out, and delete the vector store when it is over")
        return value


class NewStoreBody(StoreBody):
    """POST /v1/vector_stores. Other fields are ignored."""

    file_ids: list[str] | None = Field(default=None, description="Refused unless empty: files are attached one by one.")
    chunking_strategy: _ChunkingChoice | None = None

    @field_validator("file_ids")
    @classmethod
    def _refuse_files(cls, value: list[str] | None) -> list[str] | None:
        if value:
            raise ValueError("attach files one by one: POST /v1/vector_stores/ID/files")
        return value


def file_response(file: UploadedFile) -> FileResponse:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at.timestamp()),
        "expires_at": None,
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def files_response(files: Sequence[UploadedFile], *, limit: int) -> FilesResponse:
    """`files` has one more than the page if there are more."""
    page = [file_response(each) for each in files[:limit]]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(files) > limit,
    }


def deleted_object(id_: str, kind: str) -> DeletedObject:
    return {"id": id_, "object": f"{kind}.deleted", "deleted": True}


def store_file_response(attached: AttachedFile, *, chunk_tokens: int) -> StoreFileResponse:
    failed = attached.error is not None
    return {
        "id": attached.file.id,
        "object": "vector_store.file",
        "created_at": int(attached.attached_at.timestamp()),
        "vector_store_id": attached.collection,
        "status": attached.status,
        "last_error": {"code": attached.error, "message": attached.reason or ""} if attached.error else None,
        "usage_bytes": attached.file.bytes,
        "attributes": dict(attached.attributes),
        "chunking_strategy": {
            "type": "static",
            "static": {"max_chunk_size_tokens": chunk_tokens, "chunk_overlap_tokens": 0},
        },
        "winnow": {
            "documents": attached.documents,
            "rejected": attached.rejected,
            "first_reject": None if failed else attached.reason,
        },
    }


def store_files_response(files: Sequence[AttachedFile], *, limit: int, chunk_tokens: int) -> StoreFilesResponse:
    """`files` has one more than the page if there are more."""
    page = [store_file_response(each, chunk_tokens=chunk_tokens) for each in files[:limit]]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(files) > limit,
    }


def file_content_response(texts: Sequence[str]) -> FileContentResponse:
    return {
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": each} for each in texts],
        "has_more": False,
        "next_page": None,
    }
