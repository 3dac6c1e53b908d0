"""Is what was opened still what lies at its path?

A file that was renamed or replaced while it is open goes on being written to by whoever has it open, and nobody will
ever read that. Two stat calls tell, in some microseconds: a path that leads to another device or inode.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from winnow.retrieval.errors import StorageMoved


@dataclass(frozen=True, slots=True)
class FileId:
    """What a path leads to."""

    device: int
    inode: int


def file_id(path: Path) -> FileId | None:
    """None where nothing is there, or nothing that may be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return FileId(found.st_dev, found.st_ino)


@dataclass(frozen=True, slots=True)
class OpenedFiles:
    """Files and folders as they were when they were opened."""

    ids: tuple[tuple[Path, FileId | None], ...]

    @classmethod
    def of(cls, paths: Iterable[Path]) -> OpenedFiles:
        return cls(tuple((path, file_id(path)) for path in paths))

    def moved(self) -> Path | None:
        """The first that no longer lies at its path."""
        return next((path for path, found in self.ids if found is None or file_id(path) != found), None)

    def require_unmoved(self) -> None:
        """Raises `StorageMoved`."""
        moved = self.moved()
        if moved is not None:
            raise StorageMoved(
                f"{moved} is gone, or another one than was opened. Put the one that was opened back, or restart winnow "
                "over what is there now"
            )
