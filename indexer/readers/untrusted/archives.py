"""Documents in ZIP and TAR archives, and in compressed files.

Each member is a document `archive.zip/path/in/it`. A member is copied to a temporary file under a name of our own, is
parsed, and is removed, so neither its name nor a link leads anywhere. Bounds hold for all archives in a file together:
how much is unpacked, in all and in proportion to the file, how many members, how deep.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, BinaryIO, Final, cast
from zipfile import ZipFile

from winnow.indexer.corpus import Refused
from winnow.indexer.readers import formats
from winnow.indexer.readers.formats import Format, ending_of, format_of_name
from winnow.indexer.readers.parser import SourceFile, Unparsable
from winnow.indexer.readers.untrusted.archive_members import READ_ERRORS, Found, decompressed, tar_members, zip_members
from winnow.indexer.readers.untrusted.detection import (
    START_BYTES,
    compression_of,
    find_format,
    of_start,
    tarfile_starts,
)
from winnow.indexer.sandbox.outcomes import Member, Outcome, Skipped
from winnow.retrieval.records import Document

UNPACKED_BYTES_MAX: Final = 20_000_000_000  # of all members of a file
MEMBER_BYTES_MAX: Final = 1_000_000_000
CONTAINER_BYTES_MAX: Final = 2_000_000_000  # of an Office file or an EPUB, unpacked
RATIO_MAX: Final = 200  # unpacked to packed bytes
RATIO_FREE_BYTES: Final = 50_000_000  # unpacked; so little harms nobody, whatever it was packed to
MEMBERS_MAX: Final = 100_000
DEPTH_MAX: Final = 4  # archives within archives
ALIKE_MAX: Final = 20  # members that are refused by name for one reason; more are counted
_ENDS_MAX: Final = 8  # reads at the end of a stream
_BLOCK_BYTES: Final = 1 << 20
_PASSED_OVER: Final = ("__MACOSX", "__pycache__", "node_modules")
ARCHIVES: Final = frozenset({formats.ZIP, formats.TAR, formats.COMPRESSED})

Parse = Callable[[SourceFile, Format], Iterator[Document | Refused]]


class Bomb(Exception):
    """The file unpacks to more than is allowed; nothing more of it is read."""


class Archives:
    """All archives within one file."""

    def __init__(self, *, parse: Parse, scratch: Path, done: int, broken: frozenset[int]) -> None:
        """`done` and `broken` are numbers of members: the last one that an earlier process finished, what broke it."""
        self._parse = parse
        self._scratch = scratch
        self._done = done
        self._broken = broken
        self._number = 0
        self._copies = 0
        self._unpacked = 0
        self._unpacked_max = 0
        self._skipped: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def members(self, source: SourceFile, found: Format) -> Iterator[Outcome]:
        """Yield the documents of the archive, then what was passed over. Raises `Unparsable`."""
        size = source.path.stat().st_size
        self._unpacked_max = min(UNPACKED_BYTES_MAX, max(RATIO_FREE_BYTES, RATIO_MAX * size))
        end: str | None = None
        try:
            yield from self._archive(source, found, depth=1)
        except (Bomb, Unparsable) as error:
            end = str(error)
        for ending, count in sorted(self._skipped.items()):
            yield Skipped(ending=ending, count=count)
        for reason, count in sorted(self._refused.items()):
            if count > ALIKE_MAX:
                yield Refused(reason=f"{count - ALIKE_MAX} more members: {reason}", id=source.name)
        if end is not None:
            raise Unparsable(end)

    def _archive(self, source: SourceFile, found: Format, *, depth: int) -> Iterator[Outcome]:
        if depth > DEPTH_MAX:
            raise Unparsable(f"archives are nested more than {DEPTH_MAX} deep")
        if found is formats.COMPRESSED:
            yield from self._compressed(source, depth)
        elif found is formats.ZIP:
            for member in zip_members(source.path, members_max=MEMBERS_MAX):
                yield from self._member(source, member, depth)
        else:
            with source.path.open("rb") as stream:
                for member in tar_members(cast("BinaryIO", stream), is_compressed=False):
                    yield from self._member(source, member, depth)

    def _compressed(self, source: SourceFile, depth: int) -> Iterator[Outcome]:
        """A compressed TAR archive is read as a stream; any other file is unpacked, and keeps its name as id."""
        with source.path.open("rb") as raw:
            method = compression_of(raw.read(START_BYTES)) or ""
        try:
            with decompressed(source.path, method) as stream:
                is_tar = tarfile_starts(stream.read(512))
            with decompressed(source.path, method) as stream:
                counted = cast("BinaryIO", _Counted(stream, self._count))
                if is_tar:
                    for member in tar_members(counted, is_compressed=True):
                        yield from self._member(source, member, depth)
                    return
                yield from self._single(source, counted, depth)
        except READ_ERRORS as error:
            raise Unparsable(f"the compressed file is damaged or was cut off ({error})") from error

    def _single(self, source: SourceFile, stream: IO[bytes], depth: int) -> Iterator[Outcome]:
        inner_name = source.name.rpartition(".")[0]
        with self._copied(stream, ending_of(inner_name)) as path:
            inner = replace(source, path=path, has_ocr=False)
            found = find_format(path, inner_name)
            if found in ARCHIVES:
                yield from self._archive(inner, found, depth=depth + 1)
            elif self._done == 0:
                yield from self._parse(inner, found)

    def _member(self, archive: SourceFile, member: Found, depth: int) -> Iterator[Outcome]:
        self._number += 1
        number = self._number
        if number > MEMBERS_MAX:
            raise Bomb(f"its archives have more than {MEMBERS_MAX} members")
        if number in self._broken or _is_passed_over(member.name):
            return
        name = f"{archive.name}/{member.name}"
        is_done = number <= self._done
        if not is_done:
            yield Member(number=number, name=name)
        if member.refusal is not None:
            if not is_done:
                yield from self._refuse(name, member.refusal)
            return
        try:
            with member.open() as stream:
                yield from self._content(archive, name, stream, depth, is_done=is_done)
        except Unparsable as error:
            if not is_done:
                yield from self._refuse(name, str(error))
        except READ_ERRORS as error:
            if not is_done:
                yield from self._refuse(name, f"it is damaged, or packed in an unknown way ({error})")

    def _content(
        self, archive: SourceFile, name: str, stream: IO[bytes], depth: int, *, is_done: bool
    ) -> Iterator[Outcome]:
        start = stream.read(START_BYTES)
        named = format_of_name(name)
        found = of_start(start, named)
        if named is None and found is None:
            if not is_done:
                self._skipped[ending_of(name) or "without an ending"] += 1
            return
        if is_done and found not in ARCHIVES:
            return
        with self._copied(stream, ending_of(name) if named else "", start) as path:
            source = replace(archive, path=path, name=name, has_ocr=False)
            chosen = find_format(path, name)
            if chosen in ARCHIVES:
                yield from self._archive(source, chosen, depth=depth + 1)
            elif not is_done:
                yield from self._parse(source, chosen)

    @contextmanager
    def _copied(self, stream: IO[bytes], ending: str, start: bytes = b"") -> Iterator[Path]:
        """Copy a member to a temporary file, which is removed at the end."""
        self._copies += 1
        path = self._scratch / f"member-{self._copies}{ending}"
        try:
            with path.open("xb") as copy:
                size, block = 0, start
                while block or size == 0:
                    size += len(block)
                    self._count(len(block))
                    if size > MEMBER_BYTES_MAX:
                        raise Unparsable(f"it unpacks to more than {MEMBER_BYTES_MAX} bytes")
                    copy.write(block)
                    block = stream.read(_BLOCK_BYTES)
                    if not block:
                        break
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _count(self, size: int) -> None:
        self._unpacked += size
        if self._unpacked > self._unpacked_max:
            raise Bomb(
                f"it unpacks to more than {self._unpacked_max} bytes, which is too much for its size; it may be a bomb"
            )

    def _refuse(self, name: str, reason: str) -> Iterator[Refused]:
        """Name a refused member, unless many were refused for this reason already."""
        self._refused[reason] += 1
        if self._refused[reason] <= ALIKE_MAX:
            yield Refused(reason=reason, id=name)


def check_container(path: Path) -> None:
    """Refuse an Office file or an EPUB that unpacks to too much, or is encrypted. Raises `Unparsable`."""
    with ZipFile(path) as archive:
        infos = archive.infolist()
    unpacked, packed = sum(info.file_size for info in infos), path.stat().st_size
    if len(infos) > MEMBERS_MAX:
        raise Unparsable(f"it consists of more than {MEMBERS_MAX} parts")
    if unpacked > CONTAINER_BYTES_MAX or unpacked > max(RATIO_FREE_BYTES, RATIO_MAX * packed):
        raise Unparsable(f"it unpacks to {unpacked} bytes, which is too much for its size; it may be a bomb")
    if any(info.flag_bits & 1 for info in infos):
        raise Unparsable("it is encrypted")


class _Counted:
    """A stream whose bytes are counted, and that cannot be read beyond its end again and again."""

    def __init__(self, stream: BinaryIO, count: Callable[[int], None]) -> None:
        self._stream = stream
        self._count = count
        self._ends = 0

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(size)
        self._count(len(block))
        self._ends += not block
        if self._ends > _ENDS_MAX:
            raise EOFError("a member is longer than the archive")
        return block


def _is_passed_over(name: str) -> bool:
    return any((part.startswith(".") and part != "..") or part in _PASSED_OVER for part in name.split("/"))
