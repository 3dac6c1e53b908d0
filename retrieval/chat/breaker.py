"""Whether a chat model may be called. Pure: callers pass the time.

    CLOSED --failures--> OPEN --its check passed--> CLOSED

Rule 1: a request is never a probe. While the breaker is open, calls are refused at once, and a check in the background
closes it (retrieval/chat/model.py).
Rule 2: a failure does not count if the model has answered another call since this one began.
Rule 3: what may be due to one request (too little time, or a refusal of what is in it) does not count: no caller may
take a healthy model away from all others. It is a reason to check the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from winnow.retrieval.chat.client import ChatFailed, ChatFault


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    """When the breaker opens, and when the model is checked."""

    failures_max: int = 3  # consecutive calls that were broken or silent; one that cannot heal by itself is enough
    silence_seconds: float = 2.0  # a call with less time says nothing about the model
    pause_seconds: float = 1.0  # until the first check, and between two; doubled each time while it is open
    pause_seconds_max: float = 30.0


class Breaker:
    """The state of one model."""

    def __init__(self, limits: BreakerLimits) -> None:
        self._limits = limits
        self._failures = 0
        self._checks_failed = 0
        self._check_at = self._answered_at = -math.inf
        self._is_in_doubt = False
        self.problem: str | None = None  # why it is open

    @property
    def is_open(self) -> bool:
        return self.problem is not None

    def is_check_due(self, now: float) -> bool:
        """Whether the model should be checked: the breaker is open, or a failure may be the model's."""
        return (self.is_open or self._is_in_doubt) and now >= self._check_at

    def began_check(self, now: float) -> None:
        self._check_at = now + self._limits.pause_seconds
        self._is_in_doubt = False

    def answered(self, now: float) -> bool:
        """Record an answer, also to a check. Returns whether this closes the breaker."""
        was_open = self.is_open
        self._answered_at = now
        self._failures = self._checks_failed = 0
        self.problem = None
        return was_open

    def failed(self, failure: ChatFailed, *, seconds: float, since: float, now: float) -> bool:
        """Record a failed call that began then and was given this time. Returns whether this opens the breaker."""
        if self.is_open or failure.fault is ChatFault.BUSY or self._answered_at >= since:
            return False
        was_short = failure.fault is ChatFault.SILENT and seconds < self._limits.silence_seconds
        if was_short or failure.fault is ChatFault.DECLINED:
            self._is_in_doubt = True
            return False
        self._failures += 1
        if not failure.is_lasting and self._failures < self._limits.failures_max:
            return False
        self._open(failure.detail, now)
        return True

    def failed_check(self, failure: ChatFailed, *, since: float, now: float) -> bool:
        """Record a failed check that began then. Returns whether this opens the breaker."""
        was_open = self.is_open
        if not was_open and (failure.fault is ChatFault.BUSY or self._answered_at >= since):
            return False
        self._checks_failed += int(was_open)
        self._open(failure.detail, now)
        return not was_open

    def _open(self, problem: str, now: float) -> None:
        self.problem = problem
        pause = self._limits.pause_seconds * 2.0 ** min(self._checks_failed, 10)
        self._check_at = now + min(pause, self._limits.pause_seconds_max)
