"""A `Syncer` for the tests."""

from __future__ import annotations

from pathlib import Path

from winnow.retrieval.errors import WriteFailed
from winnow.retrieval.files.durable import write_errors


class WatchedSyncer:
    """Remembers what was to be synced, without waiting for the disk, and fails where told to. Implements `Syncer`."""

    def __init__(self, *, fail_at: int | None = None, failures: int | None = None) -> None:
        """`fail_at` counts from 0; that call and all that follow it fail, as on a disk that has died.

        With `failures` only so many of them fail, as where the kernel has forgotten what it could not write.
        """
        self.synced: list[Path] = []
        self._failures_left = failures
        self.state_when_synced: dict[Path, tuple[int, int]] = {}  # size and mtime_ns, when it was last synced
        self._fail_at = fail_at

    def sync(self, path: Path) -> None:
        if self._fail_at is not None and len(self.synced) >= self._fail_at and self._failures_left != 0:
            if self._failures_left is not None:
                self._failures_left -= 1
            raise WriteFailed(f"{path}: scripted")
        with write_errors(path):
            self.state_when_synced[path] = state_of(path)
        self.synced.append(path)


def state_of(path: Path) -> tuple[int, int]:
    """Changes when a file is written, or an entry of a folder comes, goes or is renamed."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns
