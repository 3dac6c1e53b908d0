"""Which chunk number comes next? Always one that was never used, whatever was deleted or restarted since.

An index or an answer that still names a removed chunk must find nothing, never another text under the same number.
The largest live number is no guide, because the newest chunks may have been deleted; so the next number is a file,
and numbers count as used as soon as it is on the disk, before the commit that uses them. A writer that dies in between
leaves a gap, which is harmless.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from winnow.retrieval.errors import StoreCorrupt
from winnow.retrieval.files.durable import DISK, Syncer, write_file


class ChunkNumberSequence:
    """The numbers of one store, counted up in a file. One process takes numbers at a time."""

    def __init__(self, path: Path, *, syncer: Syncer = DISK) -> None:
        self._path = path
        self._syncer = syncer

    def start(self, first: int = 0) -> None:
        """The first number will be `first`, above all that were ever used."""
        self._write(first)

    def next(self) -> int:
        """The number that `take` would give; read from the disk, because the last writer may have been another."""
        try:
            content = self._path.read_text("ascii")
            number, checksum = content.split()
        except (OSError, ValueError) as error:
            raise StoreCorrupt(f"{self._path}: the next chunk number cannot be read") from error
        if checksum != _checksum(number):
            raise StoreCorrupt(f"{self._path}: the next chunk number is damaged")
        return int(number)

    def take(self, count: int) -> int:
        """The first of `count` numbers that are now used up, on the disk, for good."""
        first = self.next()
        self._write(first + count)
        return first

    def _write(self, number: int) -> None:
        line = f"{number} {_checksum(str(number))}\n"
        write_file(self._path, line.encode("ascii"), syncer=self._syncer)


def _checksum(number: str) -> str:
    return f"{zlib.crc32(number.encode('ascii')):08x}"
