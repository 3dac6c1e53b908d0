"""Moves the files of whole collections: away for a removal, into place for a restore.

No late removal may take another collection away. A process may pause right before it renames the folder, lose its
lease, and continue when another collection of the same name is there. So where leases expire, a removal first makes an
empty folder under a name of its own, and renames the collection's folder onto it, which works only while it is empty. A
process that creates a collection of that name puts a file into each such folder. A removal that begins later than that
finds its lease taken.
"""

from __future__ import annotations

from pathlib import Path
from secrets import token_hex
from typing import Final

from winnow.retrieval.errors import WinnowError, WriteFailed
from winnow.retrieval.files.durable import Syncer, make_folder, remove, write_errors
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.lease import WriterLease
from winnow.retrieval.generation.pointer import moving

BLOCK: Final = "superseded"  # the file's name


def take_away(folder: CollectionFolder, lease: WriterLease) -> Path:
    """Rename the folder, and return its new path, which the caller removes. A running fold loses its folder.

    Raises `WriterSuperseded`, `CollectionBusy`, `WriteFailed`.
    """
    doomed = folder.removed(token_hex(4)) if lease.expires else folder.removed()
    remove(doomed)  # leftovers of a killed removal
    if lease.expires:
        make_folder(doomed)
    with moving(folder, lease):
        try:
            lease.renew()
            with write_errors(folder.path):
                folder.path.rename(doomed)
        except WinnowError as error:
            remove(doomed)
            if isinstance(error, WriteFailed):
                lease.renew()  # another host may have blocked it
            raise
    return doomed


def block_removals(folder: CollectionFolder, lease: WriterLease) -> None:
    """Make late removals of an earlier collection of this name fail. The caller holds the lease. Raises `WriteFailed`.

    What is blocked stays, because a paused process may continue at any time; `winnow verify --repair` removes it.
    """
    if not lease.expires:
        return
    for announced in folder.path.parent.glob(folder.removed("*").name):
        with write_errors(announced):
            (announced / BLOCK).touch()


def move_contents(here: CollectionFolder, there: CollectionFolder, *, syncer: Syncer) -> None:
    """Move the existing contents, in their order."""
    make_folder(there.path, syncer=syncer)
    for source, target in zip(here.contents, there.contents, strict=True):
        if source.exists():
            remove(target)
            with write_errors(target):
                source.rename(target)
    for folder in (here, there):
        syncer.sync(folder.path)
