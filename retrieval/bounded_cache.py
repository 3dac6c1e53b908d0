"""Which of these values were computed lately? Bytes under digests: bounded in bytes and in age.

Rule 1: nothing but bytes is held, so what an entry takes in memory is known and is what counts against the bound.
Rule 2: a key is a digest under a secret that no other process has. Nobody can make one beforehand, and no text that was
asked about can be read back from a key.
Rule 3: a value is found until it is too old, counted from when it was computed; being found makes it no younger. Where
room is needed, what was not found or stored for the longest time goes first.
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
_OBJECT_BYTES: Final = 33  # what CPython puts around the content of a bytes object
_ALIGNMENT: Final = 16  # its allocator hands out multiples of this
# An entry of the ordered dictionary: its row, its share of the hash table and its link in the order. Measured with
# tracemalloc for 100 to 200,000 entries that come and go: 116 to 199 bytes, by how full the hash table is.
_PLACE_BYTES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheState:
    """For the operator."""

    entries: int
    bytes: int  # as they count against the bound
    evictions: int  # entries that had to go before they were too old, since the start


class CommonKey:
    """The beginning that many keys share, digested once.

    Every field stands behind its length, so that no two sequences of fields make the same bytes.
    """

    def __init__(self, secret: bytes, *fields: str) -> None:
        self._digest = hashlib.blake2b(key=secret, digest_size=KEY_BYTES)
        _take(self._digest, fields)

    def of(self, *fields: str) -> bytes:
        """The key of these fields after the common ones."""
        digest = self._digest.copy()
        _take(digest, fields)
        return digest.digest()


class BoundedCache:
    """Least recently used goes first. Any thread and any task may use it; no call waits for anything but a lock."""

    def __init__(self, *, bytes_max: int, seconds_max: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._bytes_max = bytes_max
        self._seconds_max = seconds_max
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()  # key -> expiry and value; used longest ago first
        self._bytes = 0
        self._evictions = 0

    @property
    def state(self) -> CacheState:
        with self._lock:
            return CacheState(entries=len(self._entries), bytes=self._bytes, evictions=self._evictions)

    def find(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key; None where there is none, or none that is young enough."""
        now = self._clock()
        with self._lock:
            return [self._found(key, now) for key in keys]

    def put(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Stores what was computed just now. A value that is larger than the whole cache is not stored."""
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
    """What a value of so many bytes takes in memory, with its key and its place. 344 for a value of 9 bytes."""
    return _allocated(key_bytes) + _allocated(_EXPIRY.size + value_bytes) + _PLACE_BYTES


def _cost(key: bytes, entry: bytes) -> int:
    return entry_bytes(len(entry) - _EXPIRY.size, key_bytes=len(key))


def _allocated(content_bytes: int) -> int:
    return -(-(_OBJECT_BYTES + content_bytes) // _ALIGNMENT) * _ALIGNMENT


def _take(digest: hashlib.blake2b, fields: Iterable[str]) -> None:
    for field in fields:
        encoded = field.encode("utf-8", "surrogatepass")  # different texts stay different bytes, half characters too
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
