"""The mark of a data folder: the id by which a catalog recognises its folder.

Rule 1: the mark is written before the catalog names it, and says `new` until the catalog does. So a crash at any point
leaves either a new mark that nothing relies on, or a catalog and a folder that agree. Rule 2: a mark that is not new is
never replaced automatically; only `winnow collections adopt` does that.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from winnow.retrieval.errors import StoreCorrupt
from winnow.retrieval.files.durable import DISK, Syncer, write_errors, write_file
from winnow.retrieval.files.layout import Layout

_MARK: Final = re.compile(r"([0-9a-f]{32})( new)?\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderMark:
    """The content of the mark."""

    id: str
    is_new: bool  # no catalog is known to name it yet

    @classmethod
    def drawn(cls) -> FolderMark:
        """Create a mark with a unique id."""
        return cls(id=secrets.token_hex(16), is_new=True)

    def written(self) -> bytes:
        return f"{self.id}{' new' if self.is_new else ''}\n".encode("ascii")


def read_mark(layout: Layout) -> FolderMark | None:
    """Return the folder's mark, or None. Raises `StoreCorrupt` if it cannot be read."""
    try:
        said = layout.mark.read_bytes().decode("ascii", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreCorrupt(f"{layout.mark}: {error.strerror}") from error
    found = _MARK.fullmatch(said)
    if found is None:
        raise StoreCorrupt(
            f"{layout.mark} is damaged; `winnow collections adopt --all --data {layout.root}` writes a new one"
        )
    return FolderMark(id=found[1], is_new=found[2] is not None)


def write_mark(layout: Layout, mark: FolderMark, *, syncer: Syncer = DISK) -> None:
    """Write the mark. The caller holds `joining`. Raises `WriteFailed`."""
    write_file(layout.mark, mark.written(), syncer=syncer)


@contextmanager
def joining(layout: Layout) -> Iterator[None]:
    """Lock this folder while it joins a catalog; the kernel releases the lock of a process that dies."""
    with write_errors(layout.root):
        handle = os.open(layout.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with write_errors(layout.root):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
