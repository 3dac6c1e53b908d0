"""Uploaded files on the disk, and how they arrive.

Rule 1: bytes go to the disk as they arrive, and count there. Rule 2: the catalog's row is written last when a file
arrives, and removed first when it goes, so a killed process leaves a folder without a row, which `sweep` removes.
Rule 3: the folder is locked while a process works on it, and `sweep` leaves locked folders alone.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from winnow.retrieval.errors import WriteFailed
from winnow.retrieval.files.durable import DISK, Syncer, make_folder, write_errors

NAME_BYTES_MAX: Final = 200  # of the name on the disk; file systems allow 255
_ENDING_BYTES_MAX: Final = 24  # `.tar.gz` is kept where a name is cut
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f/\\]")


class Arriving:
    """A file that is being written. Use it within `arriving`. Its calls block."""

    def __init__(self, folder: Path, syncer: Syncer) -> None:
        self._folder = folder
        self._syncer = syncer
        self._stream: BinaryIO | None = None
        self.size = 0
        self.is_kept = False  # whether the catalog has its row

    def open(self, name: str) -> None:
        path = self._folder / name_on_disk(name)
        with write_errors(path):
            self._stream = path.open("xb")

    def write(self, content: bytes | memoryview) -> None:
        assert self._stream is not None, "the file is opened first. This is a bug."
        with write_errors(self._folder):
            self._stream.write(content)
        self.size += len(content)

    def finish(self) -> None:
        """Sync the file and its names. Raises `WriteFailed`."""
        assert self._stream is not None, "the file is opened first. This is a bug."
        self.close()
        self._syncer.sync(Path(self._stream.name))
        self._syncer.sync(self._folder)
        self._syncer.sync(self._folder.parent)

    def close(self) -> None:
        if self._stream is not None:
            with write_errors(self._folder):
                self._stream.close()


@contextmanager
def arriving(folder: Path, *, syncer: Syncer = DISK) -> Iterator[Arriving]:
    """Create the folder of a file and keep it locked; remove it at the end unless the file is kept. Blocks."""
    make_folder(folder.parent, syncer=syncer)
    with write_errors(folder):
        folder.mkdir(mode=0o700)
    with _locked(folder) as is_mine:
        if not is_mine:  # a sweep took it for a leftover
            raise WriteFailed(f"{folder.name}: another process removed it; repeat the upload")
        arrived = Arriving(folder, syncer)
        try:
            yield arrived
        finally:
            if not arrived.is_kept:
                discard(folder)
            arrived.close()


def content_of(folder: Path) -> Path:
    """Return the file in its folder. Raises `FileNotFoundError` if it was removed."""
    found = [path for path in folder.iterdir() if path.is_file()]
    if len(found) != 1:
        raise FileNotFoundError(folder.name)
    return found[0]


def discard(folder: Path) -> None:
    """Remove a file that has no row any more; what cannot be removed is left to `sweep`."""
    shutil.rmtree(folder, ignore_errors=True)


def sweep(parent: Path, known: Callable[[], Collection[str]]) -> int:
    """Remove the folders of files that have no row and that nothing works on; return how many. Blocks."""
    removed, there = 0, sorted(parent.iterdir()) if parent.is_dir() else []
    rows = known() if there else ()
    for folder in there:
        if folder.name in rows or not folder.is_dir():
            continue
        with _locked(folder) as is_mine:
            if is_mine and folder.name not in known():  # again: its upload may have ended just now
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
    return removed


def name_on_disk(name: str) -> str:
    """Return a name without folders and control characters, short enough for a file system. Endings stay."""
    bare = _UNSAFE.sub("_", name.replace("\\", "/").rpartition("/")[2]).strip() or "file"
    if bare.startswith("."):
        bare = f"_{bare}"
    whole = bare.encode("utf-8", "replace")
    if len(whole) <= NAME_BYTES_MAX:
        return whole.decode("utf-8")
    ending = "".join(Path(bare).suffixes[-2:]).encode("utf-8", "replace")
    ending = ending if len(ending) <= _ENDING_BYTES_MAX else b""
    return (whole[: NAME_BYTES_MAX - len(ending)] + ending).decode("utf-8", "ignore")


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Lock a folder unless another process has; yield whether it is locked and still there."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # removed meanwhile
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_mine = os.path.samestat(folder.stat(), os.fstat(handle))
        except OSError:  # locked by another process, or removed
            is_mine = False
        yield is_mine
    finally:
        os.close(handle)
