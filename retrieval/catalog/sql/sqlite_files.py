"""Checks what SQLite does not check in its own files: header constants, data behind the last page, the log.

Format: https://www.sqlite.org/fileformat2.html. Frames of the write-ahead log have checksums, and SQLite drops all
frames from the first wrong one on, since a power cut leaves such a frame. The dropped ones may have been acknowledged.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_MODES: Final = slice(18, 20)  # file format write and read version; 2 is a write-ahead log
_UNUSED: Final = (("user version", 60, 64), ("application id", 68, 72), ("reserved space", 72, 92))
_HEADER_BYTES: Final = 100
_LOG_HEADER: Final = struct.Struct(">8I")
_FRAME_HEADER: Final = struct.Struct(">6I")
_COMMITS: Final = 1  # field of a frame; not 0 if a transaction ends with it
_MAGICS: Final = {0x377F0682: "<", 0x377F0683: ">"}  # and the byte order of the summed words
_LOG_FORMAT: Final = 3_007_000


def file_faults(path: Path, *, size_max: int) -> Iterator[str]:
    """Yield faults of the database file. `size_max` is where its last page ends."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
        size = file.seek(0, 2)
    if header[_MODES] != b"\2\2":
        yield f"the header of {path.name} names a journal mode other than the write-ahead log"
    for called, start, end in _UNUSED:
        if any(header[start:end]):
            yield f"the header of {path.name} has a {called}, which winnow does not set"
    if size > size_max:
        yield f"{path.name} has {size - size_max} bytes after its last page"


def log_faults(path: Path) -> Iterator[str]:
    """Yield faults of the write-ahead log, while there is no writer. An empty or missing log is sound."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    if len(content) <= _LOG_HEADER.size:
        return
    magic, version, *_, first, second = _LOG_HEADER.unpack_from(content)
    order = _MAGICS.get(magic, ">")
    if magic not in _MAGICS or version != _LOG_FORMAT or _checksum(content[:24], order, (0, 0)) != (first, second):
        yield f"the header of {path.name} is damaged, so SQLite ignores the whole log"
        return
    yield from _frame_faults(path, content, order)


def _frame_faults(path: Path, content: bytes, order: str) -> Iterator[str]:
    """Yield damaged frames. Frames of an earlier round of the log have other salts and do not count."""
    _, _, page_bytes, _, *salts, first, second = _LOG_HEADER.unpack_from(content)
    sums = (first, second)
    frame_bytes = _FRAME_HEADER.size + page_bytes
    starts = range(_LOG_HEADER.size, len(content) - frame_bytes + 1, frame_bytes)
    for place, start in enumerate(starts):
        frame = _FRAME_HEADER.unpack_from(content, start)
        sums = _checksum(content[start : start + 8], order, sums)
        sums = _checksum(content[start + _FRAME_HEADER.size : start + frame_bytes], order, sums)
        if frame[2:] == (*salts, *sums):
            continue
        later = (_FRAME_HEADER.unpack_from(content, at) for at in starts[place:])
        if any(each[2:4] == tuple(salts) and each[_COMMITS] for each in later):  # not left by a rolled-back transaction
            yield (
                f"frame {place + 1} of {path.name} is damaged, and SQLite ignores it and all later ones: a power cut "
                "tore it before it was acknowledged, or changes since then are lost"
            )
        return


def _checksum(content: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(content) // 4}I", content)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
