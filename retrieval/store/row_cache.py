"""Rows that were read lately, in memory: reading 100 of them from Lance takes as long as finding them.

A row is named by its data file and its place in it. Lance gives data files random names and never changes a row, so an
entry cannot go out of date. Whether a row is alive is asked of the snapshot before; the cache cannot bring it back.

A part of the room is for what was made of rows lately: making a chunk takes ten times as long as finding it.
"""

from __future__ import annotations

import functools
import math
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import orjson

from winnow.retrieval.bounded_cache import KEY_BYTES, BoundedCache, CacheState, CommonKey

Row = dict[str, Any]
Made = TypeVar("Made")

_OFFSET_BYTES: Final = 8
_MADE_SHARE: Final = 4  # one part of so many, and at most `_MADE_BYTES_MAX`, is for what is made of rows
_MADE_BYTES_MAX: Final = 16_000_000
_MADE_BYTES: Final = 400  # of an entry: its key, its place in the dictionary, and its size
_FILES_MAX: Final = 4_096  # data files whose digest is kept; 300 bytes each


class RowCache:
    """A least-recently-used cache of rows, bounded in bytes. Thread-safe."""

    def __init__(self, *, bytes_max: int) -> None:
        self._made_max = min(bytes_max // _MADE_SHARE, _MADE_BYTES_MAX)
        self._rows: Final = BoundedCache(bytes_max=bytes_max - self._made_max, seconds_max=math.inf)
        # With its bytes; the oldest first. Taking the first of a plain dict looks at all that were taken before it.
        self._made: OrderedDict[bytes, tuple[object, int]] = OrderedDict()
        self._made_bytes = 0
        self._making = threading.Lock()
        self._secret: Final = secrets.token_bytes(KEY_BYTES)
        self._digest_of = functools.lru_cache(_FILES_MAX)(self._digest)

    @property
    def state(self) -> CacheState:
        rows = self._rows.state
        return replace(rows, bytes=rows.bytes + self._made_bytes)

    def keys_of(self, data_file: str, offsets: Sequence[int], *, columns: Sequence[str]) -> list[bytes]:
        """Return the keys of these rows of a data file. Rows with other columns have other keys."""
        digest = self._digest_of(data_file, tuple(columns))
        return [digest + offset.to_bytes(_OFFSET_BYTES, "little") for offset in offsets]

    def _digest(self, data_file: str, columns: tuple[str, ...]) -> bytes:
        """Return the common beginning of keys: a digest for each row takes as long as reading the row from here."""
        return CommonKey(self._secret, data_file, *columns).of()[: KEY_BYTES - _OFFSET_BYTES]

    def find(self, keys: Sequence[bytes]) -> list[Row | None]:
        """Return a new dictionary for each row; None if it is not here."""
        return [None if found is None else orjson.loads(found) for found in self._rows.find(keys)]

    def find_made(self, keys: Sequence[bytes], make: Callable[[Row], tuple[Made, int]]) -> list[Made] | None:
        """Return what `make` makes of each row, or None if a row is not here.

        The same objects are returned again, also to others: `make` is always the same function, and returns what cannot
        be changed, with its bytes.
        """
        found: list[Any] = [self._made.get(key) for key in keys]
        missing = [place for place, known in enumerate(found) if known is None]
        if missing:
            rows = self._rows.find([keys[place] for place in missing])
            if None in rows:
                return None
            for place, row in zip(missing, rows, strict=True):
                assert row is not None, "just checked. This is a bug."
                found[place] = self._keep(keys[place], *make(orjson.loads(row)))
        return [made for made, _ in found]

    def _keep(self, key: bytes, made: object, made_bytes: int) -> tuple[object, int]:
        entry = made, _MADE_BYTES + made_bytes
        with self._making:
            if key not in self._made and entry[1] <= self._made_max:
                self._made[key] = entry
                self._made_bytes += entry[1]
            while self._made_bytes > self._made_max:
                self._made_bytes -= self._made.popitem(last=False)[1][1]
        return entry

    def put(self, keys: Sequence[bytes], rows: Sequence[Row]) -> None:
        self._rows.put(keys, [orjson.dumps(row) for row in rows])
