"""The error tree: every error that winnow raises.

    WinnowError
    ├── CallerError                    the request or command is wrong; repeating it fails again
    │   ├── InvalidRequest
    │   ├── LimitExceeded
    │   ├── RequestSlow
    │   ├── UnsupportedMedia
    │   ├── QuotaExceeded
    │   ├── StorageQuotaExceeded
    │   ├── CollectionNotFound
    │   ├── CollectionExists
    │   ├── FolderUnknown
    │   ├── CollectionNotReady
    │   ├── WordsNotIndexed
    │   ├── DocumentNotFound
    │   ├── FileNotFound
    │   ├── SearchNotFound
    │   ├── JudgmentsFull
    │   ├── InstructionNotFound
    │   ├── InstructionConflict
    │   ├── InstructionUnsupported
    │   ├── VariableRefused
    │   ├── NotCalibrated
    │   ├── SnapshotNotFound
    │   ├── SnapshotExists
    │   ├── TenantNotFound
    │   ├── TenantExists
    │   ├── KeyNotFound
    │   ├── GrantNotFound
    │   ├── GoldenSetNotFound
    │   ├── RunNotFound
    │   ├── CatalogExists
    │   ├── CatalogMismatch
    │   ├── KeyRefused
    │   ├── NotPermitted
    │   ├── CorpusUnreadable
    │   ├── ModelNotFound
    │   ├── ModelUnusable
    │   ├── ModelMismatch
    │   ├── AddressInUse
    │   └── SettingInvalid
    ├── UnavailableError               a dependency cannot answer now; a later call may succeed
    │   ├── RerankError                reranking failed; the answer can still be in recall's order
    │   │   ├── RerankTimeout
    │   │   ├── RerankOverloaded
    │   │   ├── RerankUnavailable
    │   │   └── RerankBreakerOpen
    │   ├── EmbedderUnavailable
    │   ├── DeadlineExceeded
    │   ├── Overloaded
    │   ├── SnapshotUnreachable
    │   ├── CollectionBusy
    │   ├── WriterSuperseded
    │   ├── CatalogUnavailable
    │   ├── StoreUnavailable
    │   ├── StorageMoved
    │   ├── ServiceUnreachable
    │   ├── MemoryTooSmall
    │   └── DeviceUnusable
    └── StorageError                   stored data is damaged, or cannot be written
        ├── GenerationCorrupt
        ├── StoreCorrupt
        ├── SnapshotCorrupt
        └── WriteFailed

Rule 1: a leaf's docstring is its message; the detail says which object is meant and, where known, what to do.
Rule 2: only leaves are raised. Rule 3: no stage knows a status code (only api/http/problems.py maps leaves to them).
"""

from __future__ import annotations

import inspect
import re

from winnow.retrieval.disk_causes import with_advice


class WinnowError(Exception):
    """Something went wrong in winnow."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail

    @property
    def message(self) -> str:
        """The first line of the class's docstring without its full stop, then the detail."""
        summary = (inspect.getdoc(type(self)) or "").splitlines()[0].rstrip(".")
        return f"{summary}: {self.detail}" if self.detail else f"{summary}."

    def __str__(self) -> str:
        return self.message


class CallerError(WinnowError):
    """The request or the command is wrong."""


class InvalidRequest(CallerError):
    """Invalid request."""

    def __init__(self, detail: str = "", *, param: str | None = None) -> None:
        """`param` names the field at fault, if it is known."""
        super().__init__(detail)
        self.param = param


class LimitExceeded(CallerError):
    """The request exceeds a limit."""


class RequestSlow(CallerError):
    """The request did not arrive in time."""


class UnsupportedMedia(CallerError):
    """The format of the request body is not supported."""


class QuotaExceeded(CallerError):
    """The tenant has used up a quota."""

    def __init__(self, detail: str = "", *, limit: str | None = None, retry_after_seconds: int = 1) -> None:
        """`limit` names the quota; after `retry_after_seconds` some of it is available again."""
        super().__init__(detail)
        self.limit = limit
        self.retry_after_seconds = retry_after_seconds


class StorageQuotaExceeded(CallerError):
    """The tenant's storage limit would be exceeded."""

    def __init__(self, detail: str = "", *, limit: str | None = None) -> None:
        """`limit` names the limit that would be exceeded."""
        super().__init__(detail)
        self.limit = limit


class CollectionNotFound(CallerError):
    """Collection not found."""

    def __init__(self, detail: str = "", *, place: str | None = None) -> None:
        """`place` is the data folder that was searched; only operators may see it."""
        super().__init__(detail)
        self.place = place


class CollectionExists(CallerError):
    """A collection with this name already exists."""


class FolderUnknown(CallerError):
    """A folder that this catalog did not create is in the way; it was left unchanged."""


class CollectionNotReady(CallerError):
    """The collection exists, but nothing has been indexed into it yet."""


class WordsNotIndexed(CallerError):
    """The collection was created before full-text search existed; `winnow index` adds it."""


class DocumentNotFound(CallerError):
    """Document not found."""


class FileNotFound(CallerError):
    """File not found."""


class SearchNotFound(CallerError):
    """Search not found."""


class JudgmentsFull(CallerError):
    """The tenant has as many judgments as it may have."""


class InstructionNotFound(CallerError):
    """Instruction or version not found."""


class InstructionConflict(CallerError):
    """The state of the instruction does not allow this."""


class InstructionUnsupported(CallerError):
    """The collection requires an instruction, and its reranker reads none."""


class VariableRefused(CallerError):
    """A value does not fit the instruction's variable."""


class NotCalibrated(CallerError):
    """The collection has no calibrated threshold for this search."""


class SnapshotNotFound(CallerError):
    """There is no finished snapshot at this location."""


class SnapshotExists(CallerError):
    """The destination of the snapshot is not empty."""


class TenantNotFound(CallerError):
    """Tenant not found."""


class TenantExists(CallerError):
    """A tenant with this name already exists."""


class KeyNotFound(CallerError):
    """There is no API key with this id that can be changed."""


class GrantNotFound(CallerError):
    """Grant not found."""


class GoldenSetNotFound(CallerError):
    """Golden set not found."""


class RunNotFound(CallerError):
    """Run of a golden set not found."""


class CatalogExists(CallerError):
    """The destination of the catalog's copy is not empty."""


class CatalogMismatch(CallerError):
    """The data folder and the catalog do not belong together; nothing was changed."""


class KeyRefused(CallerError):
    """The API key is missing or invalid."""


class NotPermitted(CallerError):
    """The API key does not permit this."""


class CorpusUnreadable(CallerError):
    """The corpus cannot be read."""


class ModelNotFound(CallerError):
    """The model is neither bundled, nor a folder, nor in the local cache of a hub."""


class ModelUnusable(CallerError):
    """winnow cannot use this model."""


class ModelMismatch(CallerError):
    """The collection was built with a different embedding model."""


class AddressInUse(CallerError):
    """The port is in use by another program."""


class SettingInvalid(CallerError):
    """Invalid setting."""


class UnavailableError(WinnowError):
    """A dependency of winnow cannot answer now."""


class RerankError(UnavailableError):
    """Reranking failed."""


class RerankTimeout(RerankError):
    """The reranker did not finish before the deadline."""


class RerankOverloaded(RerankError):
    """The reranker's queue is full."""


class RerankUnavailable(RerankError):
    """The reranker cannot be reached, or its reply is invalid."""


class RerankBreakerOpen(RerankError):
    """The reranker failed repeatedly and is paused for a moment."""


class EmbedderUnavailable(UnavailableError):
    """The embedding model cannot be reached, or its reply is invalid."""


class DeadlineExceeded(UnavailableError):
    """The deadline passed before any result was available."""


class Overloaded(UnavailableError):
    """The service is overloaded."""


class SnapshotUnreachable(UnavailableError):
    """The location of the snapshot cannot be reached, or denies access."""


class CollectionBusy(UnavailableError):
    """Another process is writing to the collection."""


class WriterSuperseded(UnavailableError):
    """Another process took over writing to the collection during a pause; repeat what was not acknowledged."""


class CatalogUnavailable(UnavailableError):
    """The catalog's database cannot be reached, or does not answer in time."""


class StoreUnavailable(UnavailableError):
    """The object store cannot be reached, or does not answer in time; repeat what was not acknowledged."""


class StorageMoved(UnavailableError):
    """The catalog or the data folder was moved or replaced while in use; nothing was acknowledged."""


class ServiceUnreachable(UnavailableError):
    """The service cannot be asked."""


class MemoryTooSmall(UnavailableError):
    """There is not enough memory for the index."""


class DeviceUnusable(UnavailableError):
    """This device cannot search the index."""


class StorageError(WinnowError):
    """Stored data is damaged, or cannot be written."""


class GenerationCorrupt(StorageError):
    """An index generation does not match its manifest."""


class StoreCorrupt(StorageError):
    """Stored data cannot be read."""


class SnapshotCorrupt(StorageError):
    """The snapshot is damaged; nothing was restored."""


class WriteFailed(StorageError):
    """Writing to the disk failed; nothing was acknowledged."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(with_advice(detail))


def snake_case(name: str) -> str:
    """`CollectionNotFound` -> `collection_not_found`: the code of an error."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def leaves(root: type[WinnowError] = WinnowError) -> frozenset[type[WinnowError]]:
    """Return every error that may be raised: the classes of the tree without subclasses."""
    below = root.__subclasses__()
    if not below:
        return frozenset({root})
    return frozenset(leaf for child in below for leaf in leaves(child))
