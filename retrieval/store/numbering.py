"""Assigns chunk numbers. A number is never reused, regardless of deletions and restarts.

An index or answer that still names a removed chunk must find nothing, never another text under the same number. The
largest live number is not enough, because the newest chunks may be deleted. So the next number is kept in a file, and
numbers count as used once it is on the disk, before the commit that uses them. A writer that dies in between leaves a
gap, which is harmless. Where a writer can be superseded, its lease holds the next number as well, and the larger of
both counts: such a writer may still write an older number into the file.
"""

from __future__ import annotations

import zlib
from contextlib import suppress

from winnow.retrieval.errors import CatalogUnavailable, StoreCorrupt, WriteFailed
from winnow.retrieval.files.layout import NEXT_NUMBER
from winnow.retrieval.files.lease import ONE_HOST, WriterLease
from winnow.retrieval.store.places.place import StorePlace


class ChunkNumberSequence:
    """The chunk numbers of one store, counted up in a file. One process takes numbers at a time."""

    def __init__(self, place: StorePlace, *, lease: WriterLease = ONE_HOST) -> None:
        self._place = place
        self._lease = lease

    def start(self, first: int = 0) -> None:
        """Set the first number, which must be above all that were ever used."""
        self._write(first)

    def next(self) -> int:
        """Return the number that `take` would give; read from its file, because another process may have written."""
        where = f"{self._place.name}/{NEXT_NUMBER}"
        try:
            number, checksum = self._place.read_file(NEXT_NUMBER).decode("ascii").split()
        except (StoreCorrupt, ValueError) as error:
            raise StoreCorrupt(f"{where}: the next chunk number cannot be read") from error
        if checksum != _checksum(number):
            raise StoreCorrupt(f"{where}: the next chunk number is damaged")
        return int(number)

    def take(self, count: int) -> int:
        """Reserve `count` numbers for good, on the disk, and return the first.

        Raises `WriteFailed`, and `WriterSuperseded` if the reason is another writer, who uses the same temporary file.
        """
        first = self._lease.take_numbers(count, least=self.next())
        try:
            self._write(max(first + count, self.next()))  # a writer may have been superseded since its reservation
        except WriteFailed:
            with suppress(CatalogUnavailable):  # then the first failure is the one to report
                self._lease.renew()
            raise
        return first

    def _write(self, number: int) -> None:
        line = f"{number} {_checksum(str(number))}\n"
        self._place.write_file(NEXT_NUMBER, line.encode("ascii"))


def _checksum(number: str) -> str:
    return f"{zlib.crc32(number.encode('ascii')):08x}"
