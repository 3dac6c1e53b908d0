"""A client that times a server. Bodies are written, and answers parsed, outside the measured time.

It uses the standard library, one connection per thread: as little work as possible, and the same for all servers.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from bench.gpu.servers import HOST

_SECONDS_MAX: Final = 120.0
_TRIES: Final = 2  # an idle connection may be closed just then
_HEADERS: Final = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One answer and its time."""

    ms: float
    reply: bytes

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.reply)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """Many requests at once."""

    seconds: float  # from the first request to the last answer
    answers: list[Timed]


class Refused(Exception):
    """A status other than 200: continuing would measure refusals."""


class Caller:
    """Calls one path of one server, over a persistent connection."""

    def __init__(self, port: int, path: str, key: str | None = None) -> None:
        self._path = path
        self._headers = _HEADERS | ({} if key is None else {"Authorization": f"Bearer {key}"})
        self._connection = http.client.HTTPConnection(HOST, port, timeout=_SECONDS_MAX)

    def ask(self, body: bytes) -> Timed:
        for attempt in range(_TRIES):
            began = time.perf_counter()
            try:
                self._connection.request("POST", self._path, body=body, headers=self._headers)
                response = self._connection.getresponse()
                reply = response.read()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self._connection.close()
                if attempt + 1 == _TRIES:
                    raise
                continue
            if response.status != http.client.OK:
                raise Refused(f"{self._path}: {response.status} {reply[:300]!r}")
            return Timed(ms=1e3 * (time.perf_counter() - began), reply=reply)
        raise AssertionError("the last try raises")

    def close(self) -> None:
        self._connection.close()


def burst(port: int, path: str, bodies: Sequence[bytes], keys: Sequence[str] = ()) -> Burst:
    """Send each body over its own connection, all at the same moment; with these keys in turn, if there are any."""
    together = threading.Barrier(len(bodies) + 1)
    answers: list[Timed | None] = [None] * len(bodies)

    def ask(place: int) -> None:
        caller = Caller(port, path, keys[place % len(keys)] if keys else None)
        together.wait()
        try:
            answers[place] = caller.ask(bodies[place])
        finally:
            caller.close()

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(bodies))]
    for thread in threads:
        thread.start()
    together.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    whole = [answer for answer in answers if answer is not None]
    if len(whole) != len(bodies):
        raise Refused(f"{path}: {len(bodies) - len(whole)} of {len(bodies)} concurrent requests failed")
    return Burst(seconds=seconds, answers=whole)
