"""Durable writes: the only module that syncs to the disk.

Rule 1: a name appears only with its complete content: write a temporary file, sync, rename, sync the folder.
A temporary file is always a new one: a process that opened the earlier one before a pause writes to no other's content.
Rule 2: a failed sync is a failed write. It is never retried: the kernel has already dropped the pages, and a second
sync would succeed without them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from winnow.retrieval.errors import WinnowError, WriteFailed
from winnow.retrieval.files.opened_files import OpenedFiles

PRIVATE_FILE: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class Syncer(Protocol):
    """Syncs a file's content, or a folder's names, to the disk. Raises `WriteFailed`."""

    def sync(self, path: Path) -> None: ...


class DiskSyncer:
    """Syncs with fsync."""

    def sync(self, path: Path) -> None:
        with write_errors(path):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


DISK = DiskSyncer()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """Expected size and checksum of a file."""

    bytes: int
    sha256: str


def facts_of(path: Path) -> FileFacts:
    """Return size and checksum of a file. Raises `OSError`."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FileFacts(bytes=file.tell(), sha256=digest.hexdigest())


class StrictSyncer:
    """Syncs until one sync fails; from then on every call fails. Implements `Syncer`.

    After a failure the disk's state is unknown: the kernel has dropped the pages that it could not write, and the next
    sync of the same file would succeed without them. Writing resumes only after the files are reopened and checked.

    A `root` that was moved or replaced is not written to either, until it is back in its place.
    """

    def __init__(self, syncer: Syncer, *, root: Path | None = None) -> None:
        self._syncer = syncer
        self._root = OpenedFiles.of(() if root is None else (root,))
        self._failure: WriteFailed | None = None

    def require_sound(self) -> None:
        """Check before anything is written, and before it is acknowledged.

        Raises `WriteFailed` if a sync has failed, and `StorageMoved`.
        """
        self._root.require_unmoved()
        if self._failure is not None:
            raise WriteFailed(
                f"an earlier sync failed ({self._failure.detail}); restart winnow to write again"
            ) from self._failure

    def sync(self, path: Path) -> None:
        self.require_sound()
        try:
            self._syncer.sync(path)
        except WriteFailed as failure:
            self._failure = failure
            raise


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn errors of the system, such as a full disk or a forbidden folder, into `WriteFailed`."""
    try:
        yield
    except OSError as error:
        raise WriteFailed(f"{path}: {error.strerror or error}") from error


def make_folder(path: Path, *, syncer: Syncer = DISK) -> None:
    """Create the folder and its parents, each synced to its parent."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    with write_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        syncer.sync(folder.parent)


def keep_private(path: Path) -> None:
    """Remove all permissions of group and others from a file or folder, if we own it.

    A folder with a sticky or setgid bit is shared on purpose, and some file systems have no modes.
    """
    with suppress(OSError):
        found = path.stat()
        is_shared = stat.S_ISDIR(found.st_mode) and found.st_mode & (stat.S_ISVTX | stat.S_ISGID)
        if found.st_mode & _OTHERS and found.st_uid == os.geteuid() and not is_shared:
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)


def remove(path: Path) -> None:
    """Remove the file, or the folder with its content, if it exists. Does not follow links."""
    with write_errors(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def temporary_for(path: Path) -> Path:
    """The file that `write_file` writes before it takes the place of `path`."""
    return path.with_name(f"{path.name}.tmp")


def write_file(
    path: Path,
    content: bytes,
    *,
    syncer: Syncer = DISK,
    temporary: Path | None = None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write a file atomically: either the new content or the previous file is there, never a part.

    `check` may refuse, right before the temporary file takes the place of `path`.
    """
    temporary = temporary or temporary_for(path)
    try:
        with write_errors(path):
            temporary.unlink(missing_ok=True)
            with temporary.open("xb") as file:
                file.write(content)
        syncer.sync(temporary)
        check()
        with write_errors(path):
            temporary.replace(path)
    except WinnowError:
        with suppress(OSError):  # the first failure is the one to report
            temporary.unlink(missing_ok=True)
        raise
    syncer.sync(path.parent)


@dataclass(frozen=True, slots=True)
class _Known:
    """The entries of a folder at its last sync."""

    names: frozenset[str]
    folders: frozenset[str]


class SyncedTree:
    """Syncs a folder that a library writes into without syncing.

    The library never changes a file once it is closed, so a synced name stays synced. Each new file is passed to
    `arrived` before its sync, which may refuse it with `WriteFailed`.
    """

    def __init__(
        self,
        root: Path,
        *,
        arrived: Callable[[Path], None] | None = None,
        syncer: Syncer = DISK,
    ) -> None:
        self._root = root
        self._arrived = arrived
        self._syncer = syncer
        self._known: dict[Path, _Known] = {}

    def sync(self) -> None:
        """Sync everything written since the last call: files first, then their folders, innermost first."""
        self._sync_folder(self._root)

    def _sync_folder(self, folder: Path) -> None:
        """Compare only names; with thousands of old versions, anything more would cost more than the sync."""
        with write_errors(folder):
            names = frozenset(os.listdir(folder))  # noqa: PTH208  only names are needed
        known = self._known.get(folder)
        new = names - known.names if known else names
        folders = frozenset(name for name in new if (folder / name).is_dir())
        folders |= known.folders & names if known else frozenset()
        for name in sorted(new - folders):
            if self._arrived is not None:
                self._arrived(folder / name)
            self._syncer.sync(folder / name)
        for name in sorted(folders):
            self._sync_folder(folder / name)
        if new or known is None:
            self._syncer.sync(folder)
        if known is None:
            self._syncer.sync(folder.parent)
        self._known[folder] = _Known(names=names, folders=folders)
