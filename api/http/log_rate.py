"""Limits the rate of log lines that callers can cause at will."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

BURST: Final = 8  # lines
LINES_PER_SECOND: Final = 1.0  # 10 kB per minute of usual lines


class Sparing:
    """A token bucket that counts what it suppressed."""

    def __init__(
        self,
        *,
        burst: int = BURST,
        per_second: float = LINES_PER_SECOND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst, self._per_second, self._clock = burst, per_second, clock
        self._left, self._seen_at = float(burst), clock()
        self._passed_over = 0

    def allowed(self) -> int | None:
        """Return None to suppress, or the number suppressed since the last allowed line."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._seen_at) * self._per_second)
        self._seen_at = now
        if self._left < 1:
            self._passed_over += 1
            return None
        self._left -= 1
        passed_over, self._passed_over = self._passed_over, 0
        return passed_over


class SparingRefusals(logging.Filter):
    """A filter for the request log: limits the rate of refused requests. Answered requests are always logged."""

    def __init__(self) -> None:
        super().__init__()
        self._refusals = Sparing()

    def filter(self, record: logging.LogRecord) -> bool:
        if not isinstance(record.args, tuple) or not record.args:
            return True
        status = record.args[-1]
        if not isinstance(status, int) or status < HTTPStatus.BAD_REQUEST:
            return True
        passed_over = self._refusals.allowed()
        if passed_over:
            record.msg = f"{record.msg} ({passed_over} refusals before this one were not logged)"
        return passed_over is not None
