"""A cache of bytes under digests, bounded in bytes and in age.

Rule 1: only bytes are stored, so the memory of an entry is known, and is what counts against the limit.
Rule 2: a key is a digest with a secret that no other process has. Nobody can precompute one, and no text can be
recovered from a key.
Rule 3: a value expires at a fixed time after its computation; hits do not extend it. To make room, the least recently
used entry is evicted first.
"""

from __future__ import annotations

import hashlib
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

KEY_BYTES: Final = 32

_EXPIRY: Final = struct.Struct("<d")
_OBJECT_BYTES: Final = 33  # overhead of a bytes object in CPython
_ALIGNMENT: Final = 16  # its allocator's granularity
# An entry of the ordered dictionary: its row, its share of the hash table and its link in the order. Measured with
# tracemalloc for 100 to 200,000 entries that come and go: 116 to 199 bytes, by how full the hash table is.
_PLACE_BYTES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheState:
    """Statistics for operators."""

    entries: int
    bytes: int  # as counted against the limit
    evictions: int  # entries evicted before they expired, since the start


class CommonKey:
    """A prefix that many keys share, hashed once.

    Every field is preceded by its length, so different sequences of fields never give the same bytes.
    """

    def __init__(self, secret: bytes, *fields: str) -> None:
        self._digest = hashlib.blake2b(key=secret, digest_size=KEY_BYTES)
        _take(self._digest, fields)

    def of(self, *fields: str) -> bytes:
        """Return the key of these fields after the common ones."""
        digest = self._digest.copy()
        _take(digest, fields)
        return digest.digest()


class BoundedCache:
    """A least-recently-used cache. Thread-safe; calls wait only for a lock."""

    def __init__(self, *, bytes_max: int, seconds_max: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._bytes_max = bytes_max
        self._seconds_max = seconds_max
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()  # key -> expiry and value; least recently used first
        self._bytes = 0
        self._evictions = 0

    @property
    def state(self) -> CacheState:
        with self._lock:
            return CacheState(entries=len(self._entries), bytes=self._bytes, evictions=self._evictions)

    def find(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the value of each key; None if missing or expired."""
        now = self._clock()
        with self._lock:
            return [self._found(key, now) for key in keys]

    def put(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Store values computed just now. A value larger than the whole cache is not stored."""
        expiry = _EXPIRY.pack(self._clock() + self._seconds_max)
        with self._lock:
            for key, value in zip(keys, values, strict=True):
                self._store(key, expiry + value)

    def _found(self, key: bytes, now: float) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= _EXPIRY.unpack_from(entry)[0]:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry[_EXPIRY.size :]

    def _store(self, key: bytes, entry: bytes) -> None:
        if key in self._entries:
            self._drop(key)
        if _cost(key, entry) > self._bytes_max:
            return
        self._entries[key] = entry
        self._bytes += _cost(key, entry)
        while self._bytes > self._bytes_max:
            self._drop(next(iter(self._entries)))
            self._evictions += 1

    def _drop(self, key: bytes) -> None:
        self._bytes -= _cost(key, self._entries.pop(key))


def entry_bytes(value_bytes: int, *, key_bytes: int = KEY_BYTES) -> int:
    """Return the memory of a value of this size, with key and table entry: 344 for 9 to 17 bytes."""
    return _allocated(key_bytes) + _allocated(_EXPIRY.size + value_bytes) + _PLACE_BYTES


def _cost(key: bytes, entry: bytes) -> int:
    return entry_bytes(len(entry) - _EXPIRY.size, key_bytes=len(key))


def _allocated(content_bytes: int) -> int:
    return -(-(_OBJECT_BYTES + content_bytes) // _ALIGNMENT) * _ALIGNMENT


def _take(digest: hashlib.blake2b, fields: Iterable[str]) -> None:
    for field in fields:
        encoded = field.encode(
            "utf-8", "surrogatepass"
        )  # different texts give different bytes, even with half surrogate pairs
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
