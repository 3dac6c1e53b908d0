"""Open connections, and which to close when there are too many. Pure: knows no sockets.

Rule 1: a connection whose request has not arrived completely, or not at all, is a stranger. With too many connections
the oldest stranger is dropped, else the longest idle connection, else the new one.
Rule 2: a stranger has `HEADER_SECONDS`. Rule 3: unread answers count: if they are too many bytes in total, the
connection that has not read for longest is dropped; one that reads too slowly is dropped anyway.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from winnow.retrieval.limits import CONNECTIONS_MAX, HEADER_SECONDS, UNREAD_BYTES_MAX, UNREAD_SECONDS

READ_BYTES_MIN: Final = 160_000  # bytes of an answer to be read in `UNREAD_SECONDS`; eight thousand per second


class Connection(Protocol):
    """The part of a connection that is needed here."""

    @property
    def unread(self) -> int:
        """Bytes of answers that the client has not read yet."""

    def refuse_slow(self) -> None:
        """Answer that the request did not arrive in time, and close."""

    def drop(self) -> None:
        """Close without an answer."""


@dataclass(slots=True)
class _Unread:
    """How much of an answer was unread at the last check."""

    since: float
    left: int


class Connections:
    """The open connections of a server. Dicts keep the order of entering a state: oldest first."""

    def __init__(
        self,
        most: int = CONNECTIONS_MAX,
        *,
        header_seconds: float = HEADER_SECONDS,
        unread_seconds: float = UNREAD_SECONDS,
        unread_bytes_max: int = UNREAD_BYTES_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._header_seconds = header_seconds
        self._unread_seconds = unread_seconds
        self._unread_bytes_max = unread_bytes_max
        self._clock = clock
        self._open: dict[Connection, None] = {}
        self._strangers: dict[Connection, float] = {}
        self._idle: dict[Connection, None] = {}
        self._unread: dict[Connection, _Unread] = {}
        self.dropped = 0  # only increases

    def __len__(self) -> int:
        return len(self._open)

    def opened(self, connection: Connection) -> None:
        """Add a connection; with too many, drop it or another one."""
        self._open[connection] = None
        victim = next(iter(self._strangers), None) or next(iter(self._idle), None) or connection
        self._strangers[connection] = self._clock()
        if len(self._open) > self._most:
            self._drop(victim)

    def closed(self, connection: Connection) -> None:
        for state in (self._open, self._strangers, self._idle, self._unread):
            state.pop(connection, None)

    def arriving(self, connection: Connection) -> None:
        """Note that part of a request has arrived and more is to come."""
        self._idle.pop(connection, None)
        if connection in self._open:
            self._strangers.setdefault(connection, self._clock())

    def answering(self, connection: Connection) -> None:
        """Note that a request's headers are complete."""
        self._idle.pop(connection, None)
        self._strangers.pop(connection, None)

    def idle(self, connection: Connection) -> None:
        """Note that the request was answered."""
        self._strangers.pop(connection, None)
        if connection in self._open:
            self._idle[connection] = None

    def blocked(self, connection: Connection) -> None:
        """Note that the client does not read what is sent."""
        self._unread.setdefault(connection, _Unread(self._clock(), connection.unread))
        if sum(each.unread for each in self._unread) > self._unread_bytes_max:
            self._drop(next(iter(self._unread)))

    def sweep(self) -> None:
        """Close connections that took too long; to be called about once a second."""
        now = self._clock()
        for connection, since in list(self._strangers.items()):
            if now - since < self._header_seconds:
                break
            self.closed(connection)
            connection.refuse_slow()
        for connection in list(self._open):
            self._look_at_unread(connection, now)

    def _look_at_unread(self, connection: Connection, now: float) -> None:
        left = connection.unread
        if not left:
            self._unread.pop(connection, None)
            return
        seen = self._unread.setdefault(connection, _Unread(now, left))
        if now - seen.since < self._unread_seconds:
            return
        if left > seen.left - READ_BYTES_MIN:
            self._drop(connection)
        else:
            seen.since, seen.left = now, left

    def _drop(self, connection: Connection) -> None:
        self.closed(connection)
        self.dropped += 1
        connection.drop()
