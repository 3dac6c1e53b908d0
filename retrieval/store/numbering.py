"""Assigns chunk numbers. A number is never reused, regardless of deletions and restarts.

An index or answer that still names a removed chunk must find nothing, never another text under the same number. The
largest live number is not enough, because the newest chunks may be deleted. So the next number is kept in a file, and
numbers count as used once it is on the disk, before the commit that uses them. A writer that dies in between leaves a
gap, which is harmless. Where a writer can be superseded, its lease holds the next number as well, and the larger of
both counts: such a writer may still write an older number into the file.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from winnow.retrieval.errors import StoreCorrupt
from winnow.retrieval.files.durable import DISK, Syncer, write_file
from winnow.retrieval.files.lease import ONE_HOST, WriterLease


class ChunkNumberSequence:
    """The chunk numbers of one store, counted up in a file. One process takes numbers at a time."""

    def __init__(self, path: Path, *, syncer: Syncer = DISK, lease: WriterLease = ONE_HOST) -> None:
        self._path = path
        self._lease = lease
        self._syncer = syncer

    def start(self, first: int = 0) -> None:
        """Set the first number, which must be above all that were ever used."""
        self._write(first)

    def next(self) -> int:
        """Return the number that `take` would give; read from the disk, because another process may have written."""
        try:
            content = self._path.read_text("ascii")
            number, checksum = content.split()
        except (OSError, ValueError) as error:
            raise StoreCorrupt(f"{self._path}: the next chunk number cannot be read") from error
        if checksum != _checksum(number):
            raise StoreCorrupt(f"{self._path}: the next chunk number is damaged")
        return int(number)

    def take(self, count: int) -> int:
        """Reserve `count` numbers for good, on the disk, and return the first."""
        first = self._lease.take_numbers(count, least=self.next())
        self._write(max(first + count, self.next()))  # a writer may have been superseded since its reservation
        return first

    def _write(self, number: int) -> None:
        line = f"{number} {_checksum(str(number))}\n"
        write_file(self._path, line.encode("ascii"), syncer=self._syncer)


def _checksum(number: str) -> str:
    return f"{zlib.crc32(number.encode('ascii')):08x}"
