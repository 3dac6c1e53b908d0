"""Everything that can go wrong, drawn once.

    WinnowError
    ├── CallerError                    the request or the command is at fault; the same call fails again
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
    │   ├── DocumentNotFound
    │   ├── InstructionNotFound
    │   ├── InstructionConflict
    │   ├── VariableRefused
    │   ├── SnapshotNotFound
    │   ├── SnapshotExists
    │   ├── TenantNotFound
    │   ├── TenantExists
    │   ├── KeyNotFound
    │   ├── GrantNotFound
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
    ├── UnavailableError               something we depend on cannot answer now; later it may
    │   ├── RerankError                stage two failed: the answer can still be recall's order
    │   │   ├── RerankTimeout
    │   │   ├── RerankOverloaded
    │   │   ├── RerankUnavailable
    │   │   └── RerankBreakerOpen
    │   ├── EmbedderUnavailable
    │   ├── DeadlineExceeded
    │   ├── Overloaded
    │   ├── SnapshotUnreachable
    │   ├── CollectionBusy
    │   ├── CatalogUnavailable
    │   ├── StorageMoved
    │   ├── MemoryTooSmall
    │   └── DeviceUnusable
    └── StorageError                   what lies on the disk is not what was written, or cannot be written
        ├── GenerationCorrupt
        ├── StoreCorrupt
        ├── SnapshotCorrupt
        └── WriteFailed

Rule 1: the docstring of a leaf is its message; the detail says which one and, where we know, what to do.
Rule 2: only leaves are raised. Rule 3: no stage knows a status code (api/http/problems.py alone maps leaves to them).
"""

from __future__ import annotations

import inspect

from winnow.retrieval.files.disk_causes import with_advice


class WinnowError(Exception):
    """Something went wrong in winnow."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail

    @property
    def message(self) -> str:
        """The docstring's first line, without its full stop, then the detail."""
        said = (inspect.getdoc(type(self)) or "").splitlines()[0].rstrip(".")
        return f"{said}: {self.detail}" if self.detail else f"{said}."

    def __str__(self) -> str:
        return self.message


class CallerError(WinnowError):
    """The request or the command is at fault."""


class InvalidRequest(CallerError):
    """The request does not make sense."""


class LimitExceeded(CallerError):
    """The request is larger than a limit allows."""


class RequestSlow(CallerError):
    """The request did not arrive in time."""


class UnsupportedMedia(CallerError):
    """The body is in a format that is not read here."""


class QuotaExceeded(CallerError):
    """The tenant has used up what it may use at a time."""

    def __init__(self, detail: str = "", *, limit: str | None = None, retry_after_seconds: int = 1) -> None:
        """`limit` is the name of what is used up; so many seconds later there is some of it again."""
        super().__init__(detail)
        self.limit = limit
        self.retry_after_seconds = retry_after_seconds


class StorageQuotaExceeded(CallerError):
    """The tenant may not store so much."""

    def __init__(self, detail: str = "", *, limit: str | None = None) -> None:
        """`limit` is the name of what there would be too much of."""
        super().__init__(detail)
        self.limit = limit


class CollectionNotFound(CallerError):
    """There is no collection of this name."""

    def __init__(self, detail: str = "", *, place: str | None = None) -> None:
        """`place` is the data folder that was looked into, for those who may know it."""
        super().__init__(detail)
        self.place = place


class CollectionExists(CallerError):
    """A collection of this name exists already."""


class FolderUnknown(CallerError):
    """A folder that this catalog did not make is in the way; nothing in it was changed."""


class CollectionNotReady(CallerError):
    """The collection exists, but nothing has been indexed into it yet."""


class WordsNotIndexed(CallerError):
    """The collection was made before there was recall by words; `winnow index` prepares it for that."""


class DocumentNotFound(CallerError):
    """There is no document with this id."""


class InstructionNotFound(CallerError):
    """There is no instruction of this name and version."""


class InstructionConflict(CallerError):
    """The instruction is in a state that does not allow this."""


class VariableRefused(CallerError):
    """A value does not fit the instruction's variable."""


class SnapshotNotFound(CallerError):
    """There is no finished snapshot at this place."""


class SnapshotExists(CallerError):
    """A snapshot is not put where something lies already."""


class TenantNotFound(CallerError):
    """There is no tenant of this name."""


class TenantExists(CallerError):
    """A tenant of this name exists already."""


class KeyNotFound(CallerError):
    """There is no key with this id that could be changed."""


class GrantNotFound(CallerError):
    """There is no such grant."""


class CatalogExists(CallerError):
    """A catalog is not copied to where something is already."""


class CatalogMismatch(CallerError):
    """The data folder and the catalog do not belong together; nothing was changed."""


class KeyRefused(CallerError):
    """The request carries no API key that is accepted here."""


class NotPermitted(CallerError):
    """The key does not permit this."""


class CorpusUnreadable(CallerError):
    """The corpus cannot be read."""


class ModelNotFound(CallerError):
    """The model is neither bundled, nor a folder, nor in the local hub cache."""


class ModelUnusable(CallerError):
    """The model's files do not make a model that winnow can run."""


class ModelMismatch(CallerError):
    """The collection was built with another embedding model than the one that is loaded."""


class AddressInUse(CallerError):
    """The port is in use by another program."""


class SettingInvalid(CallerError):
    """A setting has a value that cannot be used."""


class UnavailableError(WinnowError):
    """Something that winnow depends on cannot answer now."""


class RerankError(UnavailableError):
    """Stage two failed."""


class RerankTimeout(RerankError):
    """The reranker did not finish before the deadline."""


class RerankOverloaded(RerankError):
    """The reranker has more work waiting than it may hold."""


class RerankUnavailable(RerankError):
    """The reranker cannot be reached or does not answer properly."""


class RerankBreakerOpen(RerankError):
    """The reranker has failed repeatedly and is being left alone for a moment."""


class EmbedderUnavailable(UnavailableError):
    """The embedding model cannot be reached or does not answer properly."""


class DeadlineExceeded(UnavailableError):
    """The deadline passed before there was anything to answer with."""


class Overloaded(UnavailableError):
    """The service has more work waiting than it may hold."""


class SnapshotUnreachable(UnavailableError):
    """The place of the snapshot cannot be reached, or refuses us."""


class CollectionBusy(UnavailableError):
    """Another process is writing to the collection."""


class CatalogUnavailable(UnavailableError):
    """The catalog's database cannot be reached, or does not answer in time."""


class StorageMoved(UnavailableError):
    """The catalog or the data folder was moved or replaced while it was in use; nothing was acknowledged."""


class MemoryTooSmall(UnavailableError):
    """There is too little memory for the index."""


class DeviceUnusable(UnavailableError):
    """The device cannot search the index."""


class StorageError(WinnowError):
    """What lies on the disk is not what was written, or cannot be written."""


class GenerationCorrupt(StorageError):
    """An index generation does not match its manifest."""


class StoreCorrupt(StorageError):
    """The stored corpus cannot be read."""


class SnapshotCorrupt(StorageError):
    """The snapshot is not what was written; nothing was restored."""


class WriteFailed(StorageError):
    """The disk did not take what was written; nothing was acknowledged."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(with_advice(detail))


def leaves(root: type[WinnowError] = WinnowError) -> frozenset[type[WinnowError]]:
    """Every error that may be raised: the classes of the tree that have no subclasses."""
    below = root.__subclasses__()
    if not below:
        return frozenset({root})
    return frozenset(leaf for child in below for leaf in leaves(child))
