"""Rows that were read lately, in memory: reading 100 of them from Lance takes as long as finding them.

A row is named by its data file and its place in it. Lance gives data files random names and never changes a row, so an
entry cannot go out of date. Whether a row is alive is asked of the snapshot before; the cache cannot bring it back.
"""

from __future__ import annotations

import functools
import math
import secrets
from collections.abc import Sequence
from typing import Any, Final

import orjson

from winnow.retrieval.bounded_cache import KEY_BYTES, BoundedCache, CacheState, CommonKey

Row = dict[str, Any]

_OFFSET_BYTES: Final = 8
_FILES_MAX: Final = 4_096  # data files whose digest is kept; 300 bytes each


class RowCache:
    """A least-recently-used cache of rows, bounded in bytes. Thread-safe."""

    def __init__(self, *, bytes_max: int) -> None:
        self._rows: Final = BoundedCache(bytes_max=bytes_max, seconds_max=math.inf)
        self._secret: Final = secrets.token_bytes(KEY_BYTES)
        self._digest_of = functools.lru_cache(_FILES_MAX)(self._digest)

    @property
    def state(self) -> CacheState:
        return self._rows.state

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

    def put(self, keys: Sequence[bytes], rows: Sequence[Row]) -> None:
        self._rows.put(keys, [orjson.dumps(row) for row in rows])
