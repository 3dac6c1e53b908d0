"""How does a version of the corpus stay while somebody copies it, and which files is it?

Its files never change, but the writer removes those of old versions. A tag of Lance keeps them. Whoever dies while
holding one leaves the tag behind, which would keep the version for good; so all who hold tags share a lock that the
kernel drops with them, and who gets it alone removes the tags that are left.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from retrieval.durable import write_errors
from retrieval.errors import StoreCorrupt
from retrieval.lance_errors import committing, reading
from retrieval.lance_snapshot import LanceSnapshot
from retrieval.lance_store import LanceStore
from retrieval.layout import CollectionFolder

TAG_PREFIX: Final = "winnow-copy-"
ATTEMPTS_MAX: Final = (
    3  # a version can only be cleaned up between being read and being tagged if it is no longer newest
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedVersion:
    """A version that stays as long as the block lasts."""

    snapshot: LanceSnapshot
    files: tuple[str, ...]  # relative to the corpus's folder


@contextmanager
def pinned(folder: CollectionFolder, store: LanceStore) -> Iterator[PinnedVersion]:
    """The newest version. The collection's lock is not needed: writers go on meanwhile."""
    with _sharing(folder.pins, store):
        tag, version = _tagged(folder.corpus, store)
        try:
            yield version
        finally:
            with committing(folder.corpus):
                version.snapshot.dataset.tags.delete(tag)


def _tagged(corpus: Path, store: LanceStore) -> tuple[str, PinnedVersion]:
    for _ in range(ATTEMPTS_MAX):
        snapshot = store.snapshot()
        tag = f"{TAG_PREFIX}{uuid.uuid4().hex}"
        with committing(corpus):
            snapshot.dataset.tags.create(tag, snapshot.version)
        files = _files_of(snapshot, corpus)
        if files and all((corpus / file).is_file() for file in files):
            return tag, PinnedVersion(snapshot=snapshot, files=files)
        with committing(corpus):
            snapshot.dataset.tags.delete(tag)
    raise StoreCorrupt(f"{corpus}: files of version {snapshot.version} are missing")


def _files_of(snapshot: LanceSnapshot, corpus: Path) -> tuple[str, ...]:
    with reading(corpus):
        rows = snapshot.dataset.tracked_files(min_version=snapshot.version).read_all().to_pylist()
    return tuple(sorted({row["path"] for row in rows if row["version"] == snapshot.version}))


@contextmanager
def _sharing(pins: Path, store: LanceStore) -> Iterator[None]:
    with write_errors(pins):
        handle = os.open(pins, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # others copy now; what the dead have left waits for the next who is alone
            pass
        else:
            _remove_left_tags(store)
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def _remove_left_tags(store: LanceStore) -> None:
    dataset = store.snapshot().dataset
    for tag in dataset.tags.list():
        if tag.startswith(TAG_PREFIX):
            dataset.tags.delete(tag)
