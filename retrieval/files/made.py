"""Which collection lies in this folder: the one that was meant, or one that took its place?

A name may be given again, and a folder is found by its name. So the folder holds the moment at which its collection was
made, as the catalog has it, and who comes late compares it: under the lock that whoever replaces a collection needs.
"""

from __future__ import annotations

from datetime import datetime

from winnow.retrieval.errors import CollectionBusy
from winnow.retrieval.files.durable import DISK, Syncer, write_file
from winnow.retrieval.files.layout import CollectionFolder


def write_made(folder: CollectionFolder, at: datetime, *, syncer: Syncer = DISK) -> None:
    """The caller holds the writer's lock. Raises `WriteFailed`."""
    write_file(folder.made, f"{at.isoformat()}\n".encode("ascii"), syncer=syncer)


def require_made(folder: CollectionFolder, at: datetime | None) -> None:
    """Raises `CollectionBusy` where the folder holds a collection that was made at another moment.

    With None nothing is compared; nor where the folder does not say, because an earlier winnow made it: everything that
    could have taken its place would.
    """
    found = made_at(folder)
    if at is not None and found is not None and found != at:
        raise CollectionBusy(f"{folder.path.name} has just been replaced")


def made_at(folder: CollectionFolder) -> datetime | None:
    """When the collection was made that lies there; None where the folder does not say."""
    try:
        return datetime.fromisoformat(folder.made.read_text("ascii").strip())
    except (OSError, UnicodeDecodeError, ValueError):
        return None
