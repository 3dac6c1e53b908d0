"""The layout of the data folder. No other module builds paths in it.

ROOT/
  catalog.sqlite                          the catalog: tenants, collections, keys and so on
  folder-id                               the folder's id, which its catalog also names
  collections/TENANT/NAME/
    lock                                  held by the one process that writes
    lock.next                             held by the process that gets it next; the other locks have such files, too
    made                                  when the collection was created, as in the catalog
    collection.json                       what it was built with, for the case that the catalog is lost
    corpus.lance/                         the chunks: the source of truth
    generations/g000001/                  an index of them: an immutable cache
    current                               the name of the generation to open
    rolled-back                           whether that one was chosen over a newer one
    current.lock                          held for the moment in which `current` changes
    in-use.lock                           with a bucket: held by the processes that have the collection open
    fold.lock                             held by the one process that builds a generation
    rejects.jsonl                         rejected records of the last run
    restoring.TOKEN/                      a collection being restored: the same files, until complete
    exchange.TOKEN/new/                   the same files of a collection that is about to take its place here
    exchange.TOKEN/old/                   those that were here before, until that is done
    replaced/                             the same, left by an earlier winnow that was killed
  files/TENANT/ID/                        an uploaded file, under its name; without a row in the catalog, a leftover
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from winnow.retrieval.errors import CollectionBusy, InvalidRequest
from winnow.retrieval.files.durable import DISK, Syncer, write_file
from winnow.retrieval.limits import COLLECTION_NAME_PATTERN
from winnow.retrieval.tenancy import TenantName

NEXT: Final = ".next"  # after the name of a lock
_SEGMENT: Final = re.compile(COLLECTION_NAME_PATTERN)
_EXCHANGE: Final = "exchange."
_RESTORING: Final = "restoring"  # the whole name in earlier winnows


def require_name(name: str) -> None:
    """Require a valid name for a tenant or collection. Raises `InvalidRequest`."""
    if not _SEGMENT.fullmatch(name):
        raise InvalidRequest(f"{name!r} is not a valid name; names match {COLLECTION_NAME_PATTERN}")


@dataclass(frozen=True, slots=True)
class CollectionFolder:
    """The files of one collection."""

    path: Path

    @property
    def made(self) -> Path:
        return self.path / "made"

    @property
    def facts(self) -> Path:
        return self.path / "collection.json"

    @property
    def corpus(self) -> Path:
        return self.path / "corpus.lance"

    @property
    def generations(self) -> Path:
        return self.path / "generations"

    @property
    def current(self) -> Path:
        return self.path / "current"

    @property
    def rolled_back(self) -> Path:
        return self.path / "rolled-back"

    @property
    def contents(self) -> tuple[Path, ...]:
        """The files of a collection: its identity first, and last the corpus, without which there is no collection."""
        return (self.made, self.facts, self.rolled_back, self.current, self.generations, self.corpus)

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def fold_lock(self) -> Path:
        return self.path / "fold.lock"

    @property
    def pointer_lock(self) -> Path:
        return self.path / "current.lock"

    @property
    def in_use(self) -> Path:
        """Held by the processes of this host that have a collection in a bucket open."""
        return self.path / "in-use.lock"

    @property
    def locks(self) -> tuple[Path, ...]:
        held = (self.lock, self.fold_lock, self.pointer_lock)
        return (*held, *(each.with_name(f"{each.name}{NEXT}") for each in held))

    def removed(self, by: str = "") -> Path:
        """The folder's path while its files are removed; no collection can have this name.

        `by` tells removals apart that may run at the same time.
        """
        return self.path.with_name(f".{self.path.name}{by and f'.{by}'}.removed")

    def restoring(self, by: str) -> CollectionFolder:
        """Return the work folder of one restore; `by` tells restores apart that may run at the same time."""
        return CollectionFolder(self.path / f"{_RESTORING}.{by}")

    def restorings(self, by: str = "") -> list[CollectionFolder]:
        """Return the work folders that are there, or only those whose `by` begins with this and a dot."""
        found = [] if by else [*self.path.glob(_RESTORING)]
        return [
            CollectionFolder(path) for path in (*found, *sorted(self.path.glob(f"{_RESTORING}.{by and f'{by}.'}*")))
        ]

    @property
    def replaced(self) -> CollectionFolder:
        return CollectionFolder(self.path / "replaced")

    def exchange(self, by: str) -> Exchange:
        """Return the work folder of one exchange; `by` tells exchanges apart that may run at the same time."""
        return Exchange(self.path / f"{_EXCHANGE}{by}")

    def exchanges(self) -> list[Exchange]:
        """Return the work folders that are there."""
        return [Exchange(path) for path in sorted(self.path.glob(f"{_EXCHANGE}*"))]

    @property
    def rejects(self) -> Path:
        return self.path / "rejects.jsonl"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A folder in a collection's folder, through which the files of one collection are replaced by another's."""

    path: Path

    @property
    def new(self) -> CollectionFolder:
        return CollectionFolder(self.path / "new")

    @property
    def old(self) -> CollectionFolder:
        return CollectionFolder(self.path / "old")


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of a deployment."""

    root: Path

    @property
    def catalog(self) -> Path:
        return self.root / "catalog.sqlite"

    @property
    def mark(self) -> Path:
        return self.root / "folder-id"

    @property
    def tenants(self) -> Path:
        """The parent of the tenants' folders."""
        return self.root / "collections"

    @property
    def uploads(self) -> Path:
        """The parent of the tenants' uploaded files."""
        return self.root / "files"

    def uploads_of(self, tenant: str) -> Path:
        """The parent of a tenant's uploaded files. Raises `InvalidRequest` for what could lead outside."""
        require_name(tenant)
        return self.uploads / tenant

    def upload(self, tenant: str, file_id: str) -> Path:
        """The folder of an uploaded file. Raises like `uploads_of`."""
        require_name(file_id)
        return self.uploads_of(tenant) / file_id

    def collections(self, tenant: TenantName) -> Path:
        """The parent of the folders of a tenant's collections."""
        return self.tenants / tenant

    def collection(self, tenant: TenantName, name: str) -> CollectionFolder:
        """Return a collection's folder. Raises `InvalidRequest` for `..` or `a/b`, which could lead outside."""
        for segment in (tenant, name):
            require_name(segment)
        return CollectionFolder(self.collections(tenant) / name)


BUCKET_COLLECTIONS: Final = "collections"  # prefix of all collections below the root of a bucket


def bucket_folder(tenant: str, name: str, created_at: datetime) -> str:
    """Return the prefix of a collection below the root of a bucket. Raises `InvalidRequest`."""
    for segment in (tenant, name):
        require_name(segment)
    return f"{BUCKET_COLLECTIONS}/{tenant}/{name}/{created_at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"


NEXT_NUMBER: Final = "next_chunk_number"  # next to Lance's own folders, so it is copied and removed with them
VECTORS_FILE: Final = "vectors.faiss"
SUMS_FILE: Final = "vectors.sums"
NUMBERS_FILE: Final = "numbers.i64"
MANIFEST_FILE: Final = "manifest.json"
MANIFEST_SUM_FILE: Final = "manifest.sha256"


def stamp_created(folder: CollectionFolder, at: datetime, *, syncer: Syncer = DISK) -> None:
    """Write the creation time. The caller holds the writer's lock. Raises `WriteFailed`."""
    write_file(folder.made, creation_stamp(at), syncer=syncer)


def creation_stamp(at: datetime) -> bytes:
    """Return the content of the file `made`."""
    return f"{at.isoformat()}\n".encode("ascii")


def require_created_at(folder: CollectionFolder, at: datetime | None) -> None:
    """Raise `CollectionBusy` if the folder holds a collection with another creation time.

    A name may be reused, and a folder is found by its name. So the folder stores the collection's creation time, as in
    the catalog, and late users compare it under the lock that any replacement needs. Nothing is compared for None, or
    if the folder has no time because an earlier winnow created it: any replacement would have one.
    """
    found = created_at_of(folder)
    if at is not None and found is not None and found != at:
        raise CollectionBusy(f"{folder.path.name} has just been replaced")


def created_at_of(folder: CollectionFolder) -> datetime | None:
    """Return the creation time of the collection in the folder, or None."""
    try:
        return datetime.fromisoformat(folder.made.read_text("ascii").strip())
    except (OSError, UnicodeDecodeError, ValueError):
        return None
