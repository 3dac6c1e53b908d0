"""Checks whether Lance wrote a file completely. Lance does not always notice.

Lance writes through buffers and does not check their last error: on a full or broken disk the end of a file is missing,
and the write still counts as a success (seen by failing each write on its own, tests/faults). Such a file would be
committed, acknowledged, and unreadable. Files are written in order, so a file with its end is complete; every new file
is checked for its end before anything names it.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from winnow.retrieval.errors import WriteFailed
from winnow.retrieval.files.durable import write_errors

COPIES: Final = 2  # a row's words in the full-text index take up to as much as the row
COMMIT_BYTES: Final = 65_536  # manifests, transactions, deletion files
LANCE_END: Final = b"LANC"  # of data files, of index files and of manifests

_ENDS: Final = {".lance": LANCE_END, ".manifest": LANCE_END, ".arrow": b"ARROW1"}
_BITMAP: Final = ".bin"  # the deleted rows of a fragment, if there are many; it has no end mark
_RUNS_COOKIE, _PLAIN_COOKIE = 12_347, 12_346
_OFFSETS_FROM: Final = 4  # containers; a bitmap with runs and fewer of them has no offset table
_ARRAY_MAX: Final = 4_096  # values; a larger container is a bitmap of 65,536 bits
_BITS_BYTES: Final = 8_192


def require_whole(path: Path) -> None:
    """Raise `WriteFailed` for a file that was truncated while it was written. The cost is independent of its size."""
    with write_errors(path):
        if path.suffix == _BITMAP:
            is_whole = _is_whole_bitmap(path.read_bytes())
        else:
            is_whole = _ends_with(path, _ENDS.get(path.suffix, b""))
    if not is_whole:
        raise WriteFailed(f"{path} was written only in part; is the disk full?")


def require_room(folder: Path, files: Iterable[Path]) -> None:
    """Raise `WriteFailed` unless the disk has room for copies of these files, their words, and what names them.

    A copy that fails half-way has taken the room that a delete would need.
    """
    with write_errors(folder):
        needed = COMMIT_BYTES + COPIES * sum(file.stat().st_size for file in files)
        free = shutil.disk_usage(folder).free
    if free < needed:
        raise WriteFailed(f"{folder}: a copy of the rows around deleted ones needs {needed} bytes, and {free} are free")


def _ends_with(path: Path, end: bytes) -> bool:
    """Whether the file ends with these bytes. An empty file never does."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size == 0 or size < len(end):
            return False
        file.seek(size - len(end))
        return file.read() == end


def _is_whole_bitmap(content: bytes) -> bool:
    """Add up the size of the containers. Format: https://github.com/RoaringBitmap/RoaringFormatSpec."""
    try:
        return _bitmap_bytes(content) == len(content)
    except struct.error:  # the file ends within a number
        return False


def _bitmap_bytes(content: bytes) -> int:
    (cookie,) = struct.unpack_from("<I", content)
    has_runs = cookie & 0xFFFF == _RUNS_COOKIE
    if not has_runs and cookie != _PLAIN_COOKIE:
        return -1
    count = (cookie >> 16) + 1 if has_runs else struct.unpack_from("<I", content, 4)[0]
    flags_at = 4 if has_runs else 8
    at = flags_at + ((count + 7) // 8 if has_runs else 0)
    cardinalities = [less_one + 1 for less_one in struct.unpack_from(f"<{2 * count}H", content, at)[1::2]]
    at += 4 * count
    if not has_runs or count >= _OFFSETS_FROM:
        at += 4 * count
    for place, cardinality in enumerate(cardinalities):
        if has_runs and content[flags_at + place // 8] >> (place % 8) & 1:
            at += 2 + 4 * struct.unpack_from("<H", content, at)[0]
        else:
            at += 2 * cardinality if cardinality <= _ARRAY_MAX else _BITS_BYTES
    return int(at)
