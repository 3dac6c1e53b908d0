"""Detects whether opened files are still at their paths.

A process keeps writing to an open file that was renamed or replaced, and that data is lost. Two stat calls, a few
microseconds, detect it: the path leads to another device or inode.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from winnow.retrieval.errors import StorageMoved


@dataclass(frozen=True, slots=True)
class FileId:
    """The device and inode that a path leads to."""

    device: int
    inode: int


def file_id(path: Path) -> FileId | None:
    """Return the id, or None if nothing readable is there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return FileId(found.st_dev, found.st_ino)


@dataclass(frozen=True, slots=True)
class OpenedFiles:
    """The identity of files and folders when they were opened."""

    ids: tuple[tuple[Path, FileId | None], ...]

    @classmethod
    def of(cls, paths: Iterable[Path]) -> OpenedFiles:
        return cls(tuple((path, file_id(path)) for path in paths))

    def moved(self) -> Path | None:
        """Return the first path that no longer leads to its file, or None."""
        return next((path for path, found in self.ids if found is None or file_id(path) != found), None)

    def require_unmoved(self) -> None:
        """Raise `StorageMoved` if a file is no longer at its path."""
        moved = self.moved()
        if moved is not None:
            raise StorageMoved(
                f"{moved} was removed or replaced while in use. Put the original back, or restart winnow "
                "to use what is there now"
            )
