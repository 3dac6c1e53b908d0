"""Why did the disk not take it, and what to do? Read from the words of an error, whichever library wrote them."""

from __future__ import annotations

import errno
import os
import re
from typing import Final

STORED: Final = "what was stored before stays stored"
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})  # these mean a write, whatever was done

_FORBIDDEN: Final = "this user has no permission to write there: change the owner or mode of the folder"
_ADVICE: Final = {
    errno.ENOSPC: "the disk is full: free some space, then repeat it",
    errno.EDQUOT: "the disk quota is used up: free some space or raise the quota, then repeat it",
    errno.EROFS: "the file system is read-only: mount it writable, or name a folder on another",
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
}
_WORDS: Final = {  # of databases; libraries give the number or what the system says
    "database or disk is full": errno.ENOSPC,
    "read-only transaction": errno.EROFS,
}
_NUMBER: Final = re.compile(r"(?:\(os error |\[Errno )(\d+)")


def with_advice(said: str) -> str:
    """The same, with the cause and what to do where the words tell; once, however often it is asked."""
    if STORED in said:
        return said
    advice = _ADVICE.get(_number(said) or 0)
    return said if advice is None else f"{said}; {advice}; {STORED}"


def _number(said: str) -> int | None:
    if found := _NUMBER.search(said):
        return int(found[1])
    numbers = {os.strerror(number): number for number in _ADVICE} | _WORDS
    return next((number for words, number in numbers.items() if words in said), None)
