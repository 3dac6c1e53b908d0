"""Moves the files of whole collections: away for a removal, into place for a creation or a restore.

No late removal may take another collection away. A process may pause right before it renames the folder, lose its
lease, and continue when another collection of the same name is there. So where leases expire, a removal first makes an
empty folder under a name of its own, and renames the collection's folder onto it, which works only while it is empty. A
process that creates a collection of that name puts a file into each such folder. A removal that begins later than that
finds its lease taken.

No late creation or restore may touch another collection either. So each has a work folder of its own below the
collection's, and every rename leads into that folder or out of it: what is there goes to `old`, what comes is built in
`new`. A process that takes over first renames the work folders that it finds, and every later rename of theirs fails.
Nothing is written or removed in the collection's folder itself.

A restore may take hours, and holds no lease meanwhile. So each also has a folder of its own to build in, and its file
lock. A restore that comes later continues in the folder of one that was killed, if both would see each other's locks.
The first that puts its files into place ends all whose locks it finds free: those that were killed, and those of hosts
whose locks it cannot see, which then fail.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Final

from winnow.retrieval.errors import CollectionBusy, CollectionExists, SnapshotCorrupt, WinnowError, WriteFailed
from winnow.retrieval.files.durable import DISK, Syncer, make_folder, remove, write_errors
from winnow.retrieval.files.layout import CollectionFolder, Exchange, created_at_of
from winnow.retrieval.files.lease import ONE_HOST, WriterLease
from winnow.retrieval.files.locks import is_written
from winnow.retrieval.generation.pointer import moving

BLOCK: Final = "superseded"  # the file's name
_TRIES_MAX: Final = 8  # each failed one means that a late commit has just created a folder


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


def _end_earlier(folder: CollectionFolder, lease: WriterLease) -> None:
    """Make late removals of an earlier collection of this name fail, and end all earlier exchanges here.

    What is blocked stays, because a paused process may continue at any time; `winnow verify --repair` removes it.
    """
    removals = [*folder.path.parent.glob(folder.removed("*").name)] if lease.expires else []
    exchanges = folder.exchanges()
    lease.renew()  # so none of them is another host's that has taken over
    for announced in removals:
        with write_errors(announced):
            (announced / BLOCK).touch()
    for left in exchanges:
        _end(folder, left.path)


def write_where_it_is(
    folder: CollectionFolder, path: Path, content: bytes, lease: WriterLease, *, syncer: Syncer = DISK
) -> None:
    """Write a small file of a collection that is there, one that `moving` knows. The caller holds the lease.

    Raises `WriterSuperseded`, `CollectionBusy`, `WriteFailed`.
    """
    with moving(folder, lease, syncer=syncer) as move:
        lease.renew()  # a host that replaces the collection after this begins a later move
        move.write(path, content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanging:
    """The right to exchange a folder's contents once, until another exchange there begins."""

    folder: CollectionFolder
    work: Exchange
    lease: WriterLease
    syncer: Syncer

    @property
    def new(self) -> CollectionFolder:
        """Return the folder whose contents are put into place."""
        return self.work.new

    def take(self, complete: CollectionFolder) -> None:
        """Use this folder as the new one. Raises like `run`."""
        with self._moving():
            complete.path.rename(self.new.path)

    def run(self) -> None:
        """Put the new contents into the place of those that are there. The caller holds the pointer.

        Raises `WriterSuperseded`, `WriteFailed`, and `CollectionBusy` if late commits keep arriving.
        """
        with self._moving():
            for source, target in zip(self.folder.contents, self.work.old.contents, strict=True):
                if source.exists():
                    source.rename(target)
            for source, target in zip(self.new.contents, self.folder.contents, strict=True):
                if source.exists():
                    self._put(source, target)
        for path in (self.new.path, self.work.old.path, self.folder.path):
            self.syncer.sync(path)
        self.lease.renew()  # a source that was missing may have been removed by the next exchange

    @contextmanager
    def _moving(self) -> Iterator[None]:
        self.lease.renew()  # after the work folder was made, so that the process that takes over finds it
        try:
            with write_errors(self.folder.path):
                yield
        except WriteFailed:
            self.lease.renew()  # another host may have ended this exchange
            raise

    def _put(self, source: Path, target: Path) -> None:
        """Rename, also where a late commit has just created a folder."""
        for at in range(_TRIES_MAX):
            try:
                os.rename(source, target)  # noqa: PTH104  Path.replace has another meaning for folders on some systems
            except OSError as error:
                if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                    raise
                target.rename(self.work.old.path / f"{target.name}.{at}")
            else:
                return
        raise CollectionBusy(f"{self.folder.path.name}: earlier writers still commit to it; repeat the request")


@contextmanager
def exchanging(folder: CollectionFolder, lease: WriterLease, *, syncer: Syncer = DISK) -> Iterator[Exchanging]:
    """End all earlier exchanges and removals here, and begin one. The caller holds the lease.

    What was replaced is removed after the block. If the exchange fails in the middle it stays, until the next one.
    Raises `WriterSuperseded`, `WriteFailed`.
    """
    _end_earlier(folder, lease)
    work = folder.exchange(token_hex(4))
    for part in (work.old, work.new):
        make_folder(part.path, syncer=syncer)
    try:
        yield Exchanging(folder=folder, work=work, lease=lease, syncer=syncer)
    except BaseException:
        if not any(each.exists() for each in work.old.contents):
            remove(work.path)
        raise
    remove(work.path)


@contextmanager
def restoring(folder: CollectionFolder, *, sharing: str) -> Iterator[CollectionFolder]:
    """Hold a work folder of a restore's own: one that a killed restore left, or a new one. Raises `WriteFailed`.

    `sharing` names the processes that see each other's file locks; it is empty if all do.
    """
    with ExitStack() as held:
        for left in folder.restorings(sharing):
            try:
                held.enter_context(ONE_HOST.writing(left))
            except (CollectionBusy, WriteFailed):  # it is in use, or has just been put into place
                continue
            work = left
            break
        else:
            work = folder.restoring(f"{sharing and f'{sharing}.'}{token_hex(4)}")
            held.enter_context(ONE_HOST.writing(work))
        try:
            yield work
        except CollectionExists:  # repeating it will not help
            remove(work.path)
            raise


@contextmanager
def building(work: CollectionFolder, made_at: datetime) -> Iterator[None]:
    """Build in a work folder, which has its creation time. What comes of a damaged snapshot is removed.

    Raises `CollectionBusy` in place of the block's error if another restore has ended this one.
    """
    try:
        yield
    except WinnowError as failed:
        try:
            require_not_ended(work, made_at)
        except CollectionBusy as ended:
            raise ended from failed
        if isinstance(failed, SnapshotCorrupt):
            remove(work.path)
        raise


def require_not_ended(work: CollectionFolder, made_at: datetime) -> None:
    """Raise `CollectionBusy` if another restore has ended this one, and remove what it has written since."""
    if created_at_of(work) != made_at:
        remove(work.path)
        raise CollectionBusy(f"another restore of {work.path.parent.name} has finished; repeat the command")


def end_restores(folder: CollectionFolder) -> None:
    """End the restores whose locks are free. The caller holds the lease. Raises `WriteFailed`."""
    for left in folder.restorings():
        if not is_written(left):
            _end(folder, left.path)


def _end(folder: CollectionFolder, left: Path) -> None:
    """Rename first: from then on no rename that is part of it finds its way."""
    ended = folder.exchange(token_hex(4))
    with write_errors(folder.path):
        left.rename(ended.path)
    remove(ended.path)
