"""The pointer to the current generation: the files `current` and `rolled-back`, with checksums.

    current       g000003 CHECKSUM             an index to open
                  g000002 g000003 CHECKSUM     one chosen over g000003 by a rollback
                  none CHECKSUM                the first publication has begun and is not finished
    rolled-back   g000003 g000002 CHECKSUM     the same rollback, for winnows that wrote no checksums

The checksum is a CRC-32 of the words before it: a flipped bit makes the name of another generation, which may exist.
Both files are also read without a checksum, as written by earlier winnows.
"""

from __future__ import annotations

import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from winnow.retrieval.files.durable import DISK, Syncer, remove, write_errors, write_file
from winnow.retrieval.files.layout import CollectionFolder

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


def begin(folder: CollectionFolder, *, syncer: Syncer = DISK) -> None:
    """Write the pointer before the first publication, so that a missing pointer is later recognised as lost."""
    if not folder.current.exists():
        _write(folder.current, _NONE, syncer=syncer)


def point(folder: CollectionFolder, name: str, *, over: str | None = None, syncer: Syncer = DISK) -> None:
    """Make this generation current, and mark the one before as retired now. The caller holds the pointer.

    `over` is the newest generation, if a rollback chooses this one over it.
    """
    retired = current_name(folder)
    if retired is not None and (folder.generations / retired).is_dir():
        with write_errors(folder.generations):
            os.utime(folder.generations / retired)  # first, so that its retention is not counted from an earlier time
    if over is not None:
        _write(folder.rolled_back, over, name, syncer=syncer)
    _write(folder.current, name, *([] if over in {None, name} else [str(over)]), syncer=syncer)


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


def mend_rollback(folder: CollectionFolder) -> None:
    """Write `rolled-back` from the pointer, or remove it. The caller holds the pointer."""
    wanted = rolled_back(folder)
    if wanted is None:
        remove(folder.rolled_back)
    else:
        _write(folder.rolled_back, wanted.newest, wanted.to, syncer=DISK)


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


def _write(path: Path, *words: str, syncer: Syncer) -> None:
    write_file(path, f"{' '.join(words)} {_checksum(list(words))}\n".encode("ascii"), syncer=syncer)


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
