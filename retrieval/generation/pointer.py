"""The pointer to the current generation: the files `current` and `rolled-back`, with checksums.

    current       g000003 CHECKSUM             an index to open
                  g000002 g000003 CHECKSUM     one chosen over g000003 by a rollback
                  none CHECKSUM                the first publication has begun and is not finished
    rolled-back   g000003 g000002 CHECKSUM     the same rollback, for winnows that wrote no checksums

The checksum is a CRC-32 of the words before it: a flipped bit makes the name of another generation, which may exist.
Both files are also read without a checksum, as written by earlier winnows.

One process moves the pointer at a time, under a file lock. That lock does not hold between hosts, or not for long. With
the catalog on PostgreSQL a move therefore has a token as well, from a row that counts moves; the files stay the truth,
and the row only says whose move counts:

    begin    token + 1; remove what earlier moves have written and not yet renamed; read the pointer
    write    a temporary file, named by the token
    check    the token must still be the newest
    rename   over the pointer

A collection's files `made` and `collection.json` are written in the same way where its folder is there already.

Rule: whatever a move is paused at, it changes nothing after a later one has begun. Before its check, the check refuses
it; after that, its temporary file is gone and the rename fails. A crash at any point leaves the pointer as it was or as
it should be, and a temporary file at most.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from winnow.retrieval.errors import WriteFailed
from winnow.retrieval.files.durable import DISK, Syncer, remove, temporary_for, write_errors, write_file
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.lease import WriterLease
from winnow.retrieval.files.locks import pointing

NAME: Final = re.compile(r"g(\d{6,})")
_NONE: Final = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """The current generation was chosen over a newer one."""

    newest: str  # the newest generation that was current
    to: str


def ordinal(name: str) -> int:
    """Return the number of a generation; numbers ascend and are never reused."""
    return int(name[1:])


def current_name(folder: CollectionFolder) -> str | None:
    """Return the name in the pointer, unchecked; None if nothing was published or the pointer is damaged."""
    words = _words_of(folder.current)
    return words[0] if words and all(NAME.fullmatch(each) for each in words) else None


def rolled_back(folder: CollectionFolder) -> Rollback | None:
    """Return the rollback that chose the current generation, if any. Any later move of the pointer ends it."""
    words = _words_of(folder.current) or ()
    if len(words) == 2 and all(NAME.fullmatch(each) for each in words):
        return Rollback(newest=words[1], to=words[0])
    written = _rollback_in(folder.rolled_back)
    return written if written and words == (written.to,) and written.newest != written.to else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PointerMove:
    """The right to move the pointer, or to remove generations, until another move begins."""

    folder: CollectionFolder
    lease: WriterLease
    token: int
    syncer: Syncer

    def begin(self) -> None:
        """Write the pointer before the first publication, so that a missing pointer is later recognised as lost."""
        if not self.folder.current.exists():
            self._write(self.folder.current, _NONE)

    def point(self, name: str, *, over: str | None = None) -> None:
        """Make this generation current, and mark the one before as retired now.

        `over` is the newest generation, if a rollback chooses this one over it. Raises `CollectionBusy`, `WriteFailed`.
        """
        folder = self.folder
        retired = current_name(folder)
        if retired is not None and (folder.generations / retired).is_dir():
            with write_errors(folder.generations):
                os.utime(folder.generations / retired)  # first, so that its retention is counted from now
        if over is not None:
            self._write(folder.rolled_back, over, name)
        self._write(folder.current, name, *([] if over in {None, name} else [str(over)]))

    def mend_rollback(self) -> None:
        """Write `rolled-back` from the pointer, or remove it."""
        wanted = rolled_back(self.folder)
        if wanted is None:
            self.require_newest()
            remove(self.folder.rolled_back)
        else:
            self._write(self.folder.rolled_back, wanted.newest, wanted.to)

    def require_newest(self) -> None:
        """Raise `CollectionBusy` if another move has begun."""
        self.lease.require_move(self.token)

    def _write(self, path: Path, *words: str) -> None:
        self.write(path, f"{' '.join(words)} {_checksum(list(words))}\n".encode("ascii"))

    def write(self, path: Path, content: bytes) -> None:
        """Write a small file of the collection, one that `moving` knows. Raises `CollectionBusy`, `WriteFailed`."""
        temporary = _temporary_for(path, self.token)
        try:
            write_file(path, content, syncer=self.syncer, temporary=temporary, check=self.require_newest)
        except WriteFailed:
            self.require_newest()  # its temporary file may be gone because another move has begun
            raise


@contextmanager
def moving(folder: CollectionFolder, lease: WriterLease, *, syncer: Syncer = DISK) -> Iterator[PointerMove]:
    """Hold the pointer. Raises `CollectionBusy`, and `WriteFailed` if the folder is gone."""
    with pointing(folder):
        token = lease.begin_move()
        if lease.expires:
            for path in (folder.current, folder.rolled_back, folder.made, folder.facts):
                for left in folder.path.glob(f"{path.name}.*.tmp"):
                    remove(left)
        yield PointerMove(folder=folder, lease=lease, token=token, syncer=syncer)


def _temporary_for(path: Path, token: int) -> Path:
    return temporary_for(path.with_name(f"{path.name}.{token}") if token else path)


def pointer_fault(folder: CollectionFolder, *, is_published: bool) -> str | None:
    """Return what is wrong with `current`, or None. `is_published`: whether there are generations."""
    if not folder.current.exists():
        return "missing, although there are generations" if is_published else None
    if current_name(folder) is None and _words_of(folder.current) != (_NONE,):
        return "differs from what was written"
    return None


def rollback_fault(folder: CollectionFolder) -> str | None:
    """Return what is wrong with `rolled-back`, or None. The pointer has what it should contain."""
    wanted = rolled_back(folder)
    if not folder.rolled_back.exists():
        return None if wanted is None else f"missing, although {wanted.to} was chosen over {wanted.newest}"
    written = _rollback_in(folder.rolled_back)
    return "differs from what was written" if written is None or (wanted and written != wanted) else None


def _rollback_in(path: Path) -> Rollback | None:
    words = _words_of(path) or ()
    if len(words) != 2 or not all(NAME.fullmatch(each) for each in words) or ordinal(words[0]) < ordinal(words[1]):
        return None
    return Rollback(newest=words[0], to=words[1])


def _words_of(path: Path) -> tuple[str, ...] | None:
    """Return the words without their checksum; None if there are none, or if the checksum is wrong."""
    try:
        words = path.read_text("ascii").split()
    except (OSError, UnicodeDecodeError):
        return None
    if not words or NAME.fullmatch(words[-1]):  # written by an earlier winnow
        return tuple(words) or None
    *named, checksum = words
    return tuple(named) if named and checksum == _checksum(named) else None


def _checksum(words: list[str]) -> str:
    return f"{zlib.crc32(' '.join(words).encode('ascii')):08x}"


def names(folder: CollectionFolder) -> list[str]:
    """Return generations with their final name, newest first."""
    if not folder.generations.is_dir():
        return []
    found = [path.name for path in folder.generations.iterdir() if NAME.fullmatch(path.name)]
    return sorted(found, key=ordinal, reverse=True)


def names_to_try(folder: CollectionFolder, wanted: str | None) -> list[str]:
    """Return the current one, then those before it. One newer than the pointer was never acknowledged."""
    older = [name for name in names(folder) if wanted is None or ordinal(name) < ordinal(wanted)]
    return older if wanted is None else [wanted, *older]
