"""Where does everything lie below the data folder? No other module puts a path together.

ROOT/
  catalog.sqlite                          who owns what
  folder-id                               which folder this is: its catalog names the same
  collections/TENANT/NAME/
    lock                                  held by the one process that writes
    made                                  when the collection was made, as the catalog has it
    collection.json                       what it was made with, for a catalog that has lost it
    corpus.lance/                         the chunks: the truth
    generations/g000001/                  an index of them: a cache, immutable
    current                               the name of the generation to open
    rolled-back                           whether somebody chose that one over a newer one
    current.lock                          held for the moment in which `current` moves
    fold.lock                             held by the one process that builds a generation
    rejects.jsonl                         records of the last run that could not be taken
    restoring/                            a collection on its way in: the same files, until they are whole
    replaced/                             what it took the place of, until that is done
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from winnow.retrieval.errors import CollectionBusy, InvalidRequest
from winnow.retrieval.files.durable import DISK, Syncer, write_file
from winnow.retrieval.limits import COLLECTION_NAME_PATTERN
from winnow.retrieval.tenancy import TenantName

_SEGMENT: Final = re.compile(COLLECTION_NAME_PATTERN)


def require_name(name: str) -> None:
    """A tenant or a collection could have it. Raises `InvalidRequest`."""
    if not _SEGMENT.fullmatch(name):
        raise InvalidRequest(f"{name!r} cannot be a name here; names match {COLLECTION_NAME_PATTERN}")


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
        """What makes a collection; first what says which one it is, the corpus last, without which there is none."""
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
    def removed(self) -> Path:
        """Where the folder goes while its files are removed; no collection can have such a name."""
        return self.path.with_name(f".{self.path.name}.removed")

    @property
    def restoring(self) -> CollectionFolder:
        return CollectionFolder(self.path / "restoring")

    @property
    def replaced(self) -> CollectionFolder:
        return CollectionFolder(self.path / "replaced")

    @property
    def rejects(self) -> Path:
        return self.path / "rejects.jsonl"


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
        """Where the folders of the tenants lie."""
        return self.root / "collections"

    def collections(self, tenant: TenantName) -> Path:
        """Where the folders of a tenant's collections lie."""
        return self.tenants / tenant

    def collection(self, tenant: TenantName, name: str) -> CollectionFolder:
        """Raises `InvalidRequest` for a name that could leave the data folder: `..` is no name, nor is `a/b`."""
        for segment in (tenant, name):
            require_name(segment)
        return CollectionFolder(self.collections(tenant) / name)


VECTORS_FILE: Final = "vectors.faiss"
NUMBERS_FILE: Final = "numbers.i64"
MANIFEST_FILE: Final = "manifest.json"
MANIFEST_SUM_FILE: Final = "manifest.sha256"


def stamp_created(folder: CollectionFolder, at: datetime, *, syncer: Syncer = DISK) -> None:
    """The caller holds the writer's lock. Raises `WriteFailed`."""
    write_file(folder.made, f"{at.isoformat()}\n".encode("ascii"), syncer=syncer)


def require_created_at(folder: CollectionFolder, at: datetime | None) -> None:
    """Raises `CollectionBusy` where the folder holds a collection that was made at another moment.

    With None nothing is compared; nor where the folder does not say, because an earlier winnow made it: everything that
    could have taken its place would.
    """
    found = created_at_of(folder)
    if at is not None and found is not None and found != at:
        raise CollectionBusy(f"{folder.path.name} has just been replaced")


def created_at_of(folder: CollectionFolder) -> datetime | None:
    """When the collection was made that lies there; None where the folder does not say."""
    try:
        return datetime.fromisoformat(folder.made.read_text("ascii").strip())
    except (OSError, UnicodeDecodeError, ValueError):
        return None
