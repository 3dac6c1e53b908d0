"""Remembers that a server did not answer, so that not every call waits for it as long as the first one did.

While it is silent, one call at a time asks it, and the others fail at once, also for a moment after that call. They
would otherwise wait one after the other, for locks that the first one holds, and far beyond the deadlines of their
requests.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

ASK_SECONDS: Final = 1.0  # between two calls that ask a silent server: what Retry-After asks for


class Silence:
    """Of one server, for all calls of a process. Thread-safe."""

    def __init__(self, *, slow_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """A failure that took less than `slow_seconds` keeps no lock for long, and is no silence."""
        self._slow_seconds = slow_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._ask_at: float | None = None  # None: it answers
        self._said = ""

    def refusal(self, *, seconds: float) -> str | None:
        """Return why not to ask now, or None: then ask for at most `seconds`, and report what came of it."""
        with self._lock:
            now = self._clock()
            if self._ask_at is not None:
                if now < self._ask_at:
                    return self._said
                self._ask_at = now + seconds  # until then this call is the only one
            return None

    @property
    def is_silent(self) -> bool:
        return self._ask_at is not None

    def answered(self) -> None:
        """The server answered, whatever it said."""
        with self._lock:
            self._ask_at = None

    def unanswered(self, said: str, *, seconds: float) -> None:
        """A call failed with these words after so many seconds."""
        with self._lock:
            if self._ask_at is not None or seconds >= self._slow_seconds:
                self._ask_at, self._said = self._clock() + ASK_SECONDS, said
