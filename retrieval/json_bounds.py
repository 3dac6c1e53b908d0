"""Measures JSON before it is parsed, so that a small text cannot become gigabytes.

Rule 1: counting works in slices, so a long text never blocks other threads for long.
Rule 2: it counts what the parser would build: commas and brackets within strings do not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import orjson

from winnow.retrieval.errors import LimitExceeded
from winnow.retrieval.limits import BODY_KEYS_MAX, BODY_VALUES_MAX, JSON_DEPTH_MAX, RECORD_VALUES_MAX

_SLICE_BYTES: Final = 65_536  # some tens of microseconds each
_STEP: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(_STEP))


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonBounds:
    """The limits of one JSON text."""

    values: int  # strings, numbers, lists and objects, together
    keys: int  # of all objects
    depth: int = JSON_DEPTH_MAX  # nested lists and objects


SMALL_JSON: Final = JsonBounds(values=BODY_VALUES_MAX, keys=BODY_KEYS_MAX)
RECORD_JSON: Final = JsonBounds(values=RECORD_VALUES_MAX, keys=RECORD_VALUES_MAX)


def parse_json(content: bytes | bytearray | memoryview, bounds: JsonBounds) -> Any:
    """Parse JSON. Raises `LimitExceeded` before anything is built, and `orjson.JSONDecodeError`."""
    require_within(content, bounds)
    return orjson.loads(content)


def require_within(content: bytes | bytearray | memoryview, bounds: JsonBounds) -> None:
    """Raise `LimitExceeded` if it exceeds the limits. Invalid JSON is counted at least up to its fault."""
    if not _is_surely_within(content, bounds):
        _Count(bounds).require(content)


def _is_surely_within(content: bytes | bytearray | memoryview, bounds: JsonBounds) -> bool:
    """Whether a fast count that includes strings stays within the limits; enough for almost all bodies."""
    opened = separated = keys = 0
    for start in range(0, len(content), _SLICE_BYTES):
        piece = bytes(content[start : start + _SLICE_BYTES])
        opened += piece.count(b"[") + piece.count(b"{")
        separated += piece.count(b",")
        keys += piece.count(b":")
        if opened > bounds.depth or opened + separated >= bounds.values or keys > bounds.keys:
            return False
    return True


class _Count:
    """Counts what is outside strings. A `"` after an odd number of backslashes does not end a string."""

    def __init__(self, bounds: JsonBounds) -> None:
        self._bounds = bounds
        self._values, self._keys, self._depth = 1, 0, 0
        self._is_in_string = False
        self._is_escaped = False  # the next byte

    def require(self, content: bytes | bytearray | memoryview) -> None:
        """Count the content. Raises `LimitExceeded`."""
        for start in range(0, len(content), _SLICE_BYTES):
            outside = self._outside(bytes(content[start : start + _SLICE_BYTES]))
            self._keys += outside.count(b":")
            self._values += outside.count(b",") + outside.count(b"[") + outside.count(b"{")
            self._refuse("values", self._values, self._bounds.values)
            self._refuse("keys", self._keys, self._bounds.keys)
            levels = list(
                accumulate(map(_STEP.__getitem__, outside.translate(None, _NOT_BRACKETS)), initial=self._depth)
            )
            self._refuse("levels", max(levels), self._bounds.depth)
            if min(levels) < 0:
                return  # more is closed than opened: parsers stop here
            self._depth = levels[-1]

    def _outside(self, piece: bytes) -> bytes:
        """Return the part of this slice outside strings."""
        if self._is_escaped:
            piece = piece[1:]
        bare = piece.rstrip(b"\\")
        self._is_escaped = (len(piece) - len(bare)) % 2 == 1
        parts = bare.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(parts[1 if self._is_in_string else 0 :: 2])
        self._is_in_string ^= len(parts) % 2 == 0
        return outside

    @staticmethod
    def _refuse(what: str, found: int, most: int) -> None:
        if found > most:
            raise LimitExceeded(f"the JSON has more than {most} {what}")
