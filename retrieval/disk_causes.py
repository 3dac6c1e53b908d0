"""Finds the cause of a failed write, and what to do, in the text of an error of any library."""

from __future__ import annotations

import errno
import os
import re
from typing import Final

STORED: Final = "data stored before is unaffected"
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})  # these always mean a failed write

_FORBIDDEN: Final = "this user may not write there: change the owner or mode of the folder"
_ADVICE: Final = {
    errno.ENOSPC: "the disk is full: free some space, then retry",
    errno.EDQUOT: "the disk quota is used up: free some space or raise the quota, then retry",
    errno.EROFS: "the file system is read-only: mount it writable, or use a folder on another one",
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
}
_WORDS: Final = {  # texts of databases; libraries give the number or the system's text
    "database or disk is full": errno.ENOSPC,
    "read-only transaction": errno.EROFS,
}
_NUMBER: Final = re.compile(r"(?:\(os error |\[Errno )(\d+)")


def with_advice(said: str) -> str:
    """Append the cause and what to do, if the text tells; at most once, however often it is called."""
    if STORED in said:
        return said
    advice = _ADVICE.get(_number(said) or 0)
    return said if advice is None else f"{said}; {advice}; {STORED}"


def _number(said: str) -> int | None:
    if found := _NUMBER.search(said):
        return int(found[1])
    numbers = {os.strerror(number): number for number in _ADVICE} | _WORDS
    return next((number for words, number in numbers.items() if words in said), None)
