"""The location of a snapshot's files: the contract, and a folder as such a location.

A file exists completely or not at all. Copying returns what was read: it goes into the manifest, or is compared with
it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final, Protocol, TypeAlias

from winnow.retrieval.errors import SnapshotCorrupt, SnapshotNotFound
from winnow.retrieval.files.durable import DISK, FileFacts, Syncer, keep_private, make_folder, remove, write_errors

BLOCK_BYTES: Final = 1 << 20  # bytes copied at a time
UNFINISHED: Final = ".tmp"  # suffix of an incomplete file in a folder

Advanced: TypeAlias = Callable[[int], None]  # called with the number of bytes just copied


class Place(Protocol):
    """Files under names with slashes. Raises `SnapshotUnreachable` and `WriteFailed`."""

    @property
    def name(self) -> str:
        """The location as users write it."""
        ...

    def names(self) -> list[str]:
        """Return all files, including those that an interrupted `put` left."""
        ...

    def put(self, name: str, source: Path, advanced: Advanced) -> FileFacts:
        """Copy `source` to this name and return what was read; it is on the disk when this returns."""
        ...

    def get(self, name: str, target: Path, advanced: Advanced) -> FileFacts:
        """Copy the file to `target` and return what arrived. Raises `SnapshotCorrupt` if there is no such file."""
        ...

    def remove(self, name: str) -> None: ...


class FolderPlace:
    """A folder of this machine. Implements `Place`."""

    def __init__(self, root: Path, *, syncer: Syncer = DISK) -> None:
        self.root = root
        self._syncer = syncer

    @property
    def name(self) -> str:
        return str(self.root)

    def names(self) -> list[str]:
        if self.root.exists() and not self.root.is_dir():
            raise SnapshotNotFound(f"{self.root} is a file, but a snapshot is a folder")
        return sorted(path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())

    def put(self, name: str, source: Path, advanced: Advanced) -> FileFacts:
        target = self.root / name
        beside = target.with_name(target.name + UNFINISHED)
        is_new = not self.root.exists()
        make_folder(target.parent, syncer=self._syncer)
        if is_new:
            keep_private(self.root)
        with write_errors(target), source.open("rb") as reading, beside.open("wb") as writing:
            keep_private(beside)
            facts = _copy(reading, writing, advanced)
        self._syncer.sync(beside)
        with write_errors(target):
            beside.replace(target)
        self._syncer.sync(target.parent)
        return facts

    def get(self, name: str, target: Path, advanced: Advanced) -> FileFacts:
        try:
            reading = (self.root / name).open("rb")
        except OSError as error:
            raise SnapshotCorrupt(f"{self.name}: {name} cannot be read ({error.strerror})") from error
        with reading, write_errors(target), target.open("wb") as writing:
            return _copy(reading, writing, advanced)

    def remove(self, name: str) -> None:
        remove(self.root / name)


def _copy(reading: BinaryIO, writing: BinaryIO, advanced: Advanced) -> FileFacts:
    digest, size = hashlib.sha256(), 0
    while block := reading.read(BLOCK_BYTES):
        digest.update(block)
        writing.write(block)
        size += len(block)
        advanced(len(block))
    return FileFacts(bytes=size, sha256=digest.hexdigest())
