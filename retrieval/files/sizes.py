"""Measures files on the disk that other processes may remove at the same time."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def size_of(path: Path) -> int:
    """Return the size of a file; 0 for a folder, or a file that was just removed."""
    try:
        found = path.lstat()
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def bytes_below(path: Path) -> int:
    """Return the size of all files in a folder; 0 if there is none. One that is removed meanwhile is empty."""
    return sum(size_of(Path(folder) / file) for folder, _, files in os.walk(path) for file in files)
