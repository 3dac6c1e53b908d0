"""The deadline of a request. It arrives with the request and is checked before each stage."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant on the monotonic clock.

    `Deadline.after_ms(500)`  # half a second from now
    `Deadline.never()`        # offline work
    """

    at: float  # seconds, time.monotonic()

    @classmethod
    def after_ms(cls, milliseconds: float) -> Deadline:
        return cls(time.monotonic() + milliseconds / 1000.0)

    @classmethod
    def never(cls) -> Deadline:
        return cls(math.inf)

    @property
    def remaining_seconds(self) -> float:
        """Seconds left: never negative, infinite without a deadline."""
        return max(0.0, self.at - time.monotonic())

    @property
    def has_passed(self) -> bool:
        return time.monotonic() >= self.at
