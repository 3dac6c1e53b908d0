"""Uploaded files and the collections that they are attached to, as vector stores.

The documents of a file have ids `FILE/NAME...`, so a document says which file it is of, and no list of them is kept.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from winnow.retrieval.tenancy import TenantName

AttributeValue = str | float | bool

_ID: Final = re.compile(r"file-[0-9a-f]{24}")
_TIME_DIGITS: Final = 12  # milliseconds since 1970, so that ids sort by time
_RANDOM_BYTES: Final = 6


class FileStatus(StrEnum):
    """How far the reading of an attached file is."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"


class FileFault(StrEnum):
    """Why a file could not be read. OpenAI's codes."""

    UNSUPPORTED = "unsupported_file"
    INVALID = "invalid_file"
    SERVER = "server_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedFile:
    """A file of a tenant."""

    tenant: TenantName
    id: str
    name: str  # as it was uploaded
    purpose: str
    bytes: int
    created_at: datetime  # UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedFile:
    """A file in a collection."""

    file: UploadedFile
    collection: str
    attached_at: datetime  # UTC
    status: FileStatus
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    documents: int = 0  # that it became
    rejected: int = 0  # records, pages or members that could not be read
    error: FileFault | None = None  # why it failed
    reason: str | None = None  # of the failure, or of the first reject


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreNotes:
    """What a vector store has beyond its collection."""

    name: str
    metadata: Mapping[str, str] = field(default_factory=dict)


def new_file_id(at: datetime) -> str:
    return f"file-{int(at.timestamp() * 1_000):0{_TIME_DIGITS}x}{secrets.token_hex(_RANDOM_BYTES)}"


def is_file_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def document_id_of(file_id: str, within: str) -> str:
    """Return the id of a document of a file."""
    return f"{file_id}/{within}"


def file_id_of(document_id: str) -> str | None:
    """Return the file that a document is of, or None."""
    file_id, slash, _ = document_id.partition("/")
    return file_id if slash and is_file_id(file_id) else None
