"""Ids in bounded memory: a dictionary for as long as it is small, then a table on disk.

The table is a SQLite database without journal in an unlinked file: it has a bounded cache, is gone when its owner
closes it or dies, and holds nothing that could be resumed. The only module that names sqlite3 outside the catalog.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final

from winnow.retrieval.errors import WriteFailed

IN_MEMORY_MAX: Final = 100_000  # ids; about 30 MB
_CACHE_KB: Final = 32_768  # of a table
_DIGEST_BYTES: Final = 16  # two different ids of 10^9 have the same digest with a probability of 10^-21


class SeenIds:
    """The ids of a corpus so far, each with the place that used it first.

    On disk an id is a digest, so a long id takes no more room than a short one.
    """

    def __init__(self, folder: Path | None = None, *, in_memory_max: int = IN_MEMORY_MAX) -> None:
        """`folder` is where the table lies if it is needed; None: the system's folder for temporary files."""
        self._folder = folder
        self._in_memory_max = in_memory_max
        self._places: dict[str, str] = {}
        self._table: sqlite3.Connection | None = None

    def first_place(self, document_id: str, place: str) -> str | None:
        """Return the place that used this id before; if there is none, note this one and return None."""
        if self._table is None:
            first = self._places.get(document_id)
            if first is None:
                self._places[document_id] = place
                if len(self._places) > self._in_memory_max:
                    self._move()
            return first
        with _written():
            digest = _digest(document_id)
            added = self._table.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (digest, place))
            if added.rowcount:
                return None
            row = self._table.execute("SELECT place FROM seen WHERE digest = ?", (digest,)).fetchone()
            return str(row[0])

    def close(self) -> None:
        if self._table is not None:
            self._table.close()

    def __del__(self) -> None:
        self.close()

    def _move(self) -> None:
        with _written():
            self._table = _open(self._folder, "CREATE TABLE seen (digest BLOB PRIMARY KEY, place TEXT) WITHOUT ROWID")
            rows = ((_digest(name), place) for name, place in self._places.items())
            self._table.executemany("INSERT INTO seen VALUES (?, ?)", rows)
        self._places = {}


class KnownDocuments:
    """Content hashes of the documents that a collection held when the run began, and which the corpus has shown."""

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._hashes = hashes
        self._unseen = set(hashes)

    def see(self, document_id: str) -> str | None:
        """Note that the corpus has this id; return its content hash, or None if the collection had no such document."""
        self._unseen.discard(document_id)
        return self._hashes.get(document_id)

    @property
    def unseen_count(self) -> int:
        return len(self._unseen)

    def unseen(self) -> Iterator[str]:
        """Yield the ids that the corpus has not shown, in order."""
        yield from sorted(self._unseen)

    def close(self) -> None:
        """It holds nothing but memory."""


class KnownOnDisk:
    """The same for collections that are too large for memory."""

    def __init__(self, batches: Iterable[Mapping[str, str]], folder: Path | None = None) -> None:
        with _written():
            self._table = _open(
                folder, "CREATE TABLE known (id BLOB PRIMARY KEY, hash TEXT, seen INTEGER DEFAULT 0) WITHOUT ROWID"
            )
            for batch in batches:
                rows = ((_key(name), content_hash) for name, content_hash in batch.items())
                self._table.executemany("INSERT INTO known (id, hash) VALUES (?, ?)", rows)

    def see(self, document_id: str) -> str | None:
        key = _key(document_id)
        with _written():
            row = self._table.execute("SELECT hash, seen FROM known WHERE id = ?", (key,)).fetchone()
            if row is None:
                return None
            if not row[1]:
                self._table.execute("UPDATE known SET seen = 1 WHERE id = ?", (key,))
            return str(row[0])

    @property
    def unseen_count(self) -> int:
        return int(self._table.execute("SELECT count(*) FROM known WHERE NOT seen").fetchone()[0])

    def unseen(self) -> Iterator[str]:
        """Yield the ids that the corpus has not shown, in order: that of UTF-8 is that of code points."""
        for (key,) in self._table.execute("SELECT id FROM known WHERE NOT seen ORDER BY id"):
            yield bytes(key).decode("utf-8", "surrogatepass")

    def close(self) -> None:
        self._table.close()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # it could not be opened
            self.close()


def know(batches: Iterable[Mapping[str, str]], *, count: int, folder: Path | None) -> KnownDocuments | KnownOnDisk:
    """Take what a collection of `count` documents holds, in memory or on disk."""
    if count > IN_MEMORY_MAX:
        return KnownOnDisk(batches, folder)
    hashes: dict[str, str] = {}
    for batch in batches:
        hashes.update(batch)
    return KnownDocuments(hashes)


def in_batches(ids: Iterator[str], size: int) -> Iterator[list[str]]:
    while batch := list(islice(ids, size)):
        yield batch


def _key(document_id: str) -> bytes:
    return document_id.encode("utf-8", "surrogatepass")


def _digest(document_id: str) -> bytes:
    return hashlib.blake2b(_key(document_id), digest_size=_DIGEST_BYTES).digest()


def _open(folder: Path | None, table: str) -> sqlite3.Connection:
    """Create the table in a file without a name. One thread at a time uses it, not always the same."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".ids-") as file:
        connection = sqlite3.connect(file.name, isolation_level=None, check_same_thread=False)
        for pragma in (
            "journal_mode = OFF",
            "synchronous = OFF",
            "locking_mode = EXCLUSIVE",
            "temp_store = FILE",
            f"cache_size = -{_CACHE_KB}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(table)
        connection.execute("BEGIN")  # never committed: nothing is to stay
        return connection


@contextlib.contextmanager
def _written() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise WriteFailed(f"the temporary table of ids: {error}") from error
