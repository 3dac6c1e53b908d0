"""When a call is sent again, and after which pause. Both clients ask this; it sends nothing itself."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx2

from winnow_client.calls import Call, Repeat
from winnow_client.errors import ConnectionFailed, DeadlineExceeded, InvalidAnswer, WinnowError, error_of

CONNECT_SECONDS_MAX: Final = 10.0  # a host that takes longer is not there
ANSWER_BYTES_MAX: Final = 256_000_000  # a larger answer is none of this service's
FIRST_PAUSE: Final = 0.2  # seconds; doubled for each further one
LONGEST_PAUSE: Final = 5.0  # seconds, where the service names none
_TOO_MANY: Final = 429
_UNAVAILABLE: Final = 503
_AGAIN_IF_SAFE: Final = frozenset({_TOO_MANY, 502, _UNAVAILABLE})
_NOT_BEGUN: Final = frozenset({"overloaded", "collection_busy"})  # codes of 503 that precede any work


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How often, and how long at most."""

    retries: int = 2
    retry_after_max: float = 10.0  # seconds; where the service asks for more, the caller decides

    def __post_init__(self) -> None:
        if self.retries < 0 or self.retry_after_max < 0:
            raise ValueError("retries and retry_after_max must not be negative")


@dataclass(frozen=True, slots=True)
class Received:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Attempts:
    """The attempts of one call, within one deadline."""

    def __init__(self, call: Call, policy: Policy, url: str, timeout: float | None) -> None:
        if timeout is not None and timeout <= 0:
            raise ValueError("timeout must be greater than 0, or None for no limit")
        self._call = call
        self._policy = policy
        self._url = url
        self._seconds = timeout
        self._end = None if timeout is None else time.monotonic() + timeout
        self._done = 0

    def remaining(self) -> float | None:
        """Return the seconds left, None without a limit. Raises `DeadlineExceeded`."""
        if self._end is None:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.late()
        return left

    def timeouts(self) -> httpx2.Timeout:
        """Return the timeouts of the next attempt."""
        left = self.remaining()
        return httpx2.Timeout(left, connect=CONNECT_SECONDS_MAX if left is None else min(left, CONNECT_SECONDS_MAX))

    def check(self, length: int) -> None:
        """Check an answer that is still arriving. Raises `DeadlineExceeded`, `InvalidAnswer`."""
        self.remaining()
        if length > ANSWER_BYTES_MAX:
            raise InvalidAnswer(
                f"{self._what()}: the answer has over {ANSWER_BYTES_MAX:,} bytes", code="invalid_answer"
            )

    def late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"{self._what()}: no answer within {self._seconds:g} s", code="deadline_exceeded")

    def pause_after(self, failure: httpx2.HTTPError | httpx2.InvalidURL) -> float:
        """Return how long to wait after a failed attempt. Raises `WinnowError` if it was the last."""
        if isinstance(failure, httpx2.TimeoutException) and not isinstance(failure, httpx2.ConnectTimeout):
            raise self.late() from failure
        self.remaining()
        is_unsent = isinstance(failure, httpx2.ConnectError | httpx2.ConnectTimeout)
        error = ConnectionFailed(f"{self._what()}: {_reason(failure)}", code="connection_failed")
        is_final = isinstance(failure, httpx2.UnsupportedProtocol | httpx2.InvalidURL | httpx2.LocalProtocolError)
        may_repeat = is_unsent or self._call.repeat is Repeat.SAFE
        return self._next(error, None, may_repeat=may_repeat and not is_final, cause=failure)

    def pause_or_answer(self, received: Received) -> Any:
        """Return the answer's value, or a `Pause`. Raises `WinnowError` for a refusal that is not repeated."""
        if 200 <= received.status < 300:
            return self._value(received)
        asked = _seconds_of(received.headers.get("retry-after"))
        error = error_of(received.status, received.headers, received.content, retry_after=asked)
        return Pause(self._next(error, asked, may_repeat=self._is_repeated(received.status, error), cause=None))

    def _is_repeated(self, status: int, error: WinnowError) -> bool:
        if self._call.repeat is Repeat.SAFE:
            return status in _AGAIN_IF_SAFE
        return status == _TOO_MANY or (status == _UNAVAILABLE and error.code in _NOT_BEGUN)

    def _next(self, error: WinnowError, asked: float | None, *, may_repeat: bool, cause: Exception | None) -> float:
        pause = asked if asked is not None else _backoff(self._done)
        self._done += 1
        left = self.remaining()
        is_long = asked is not None and asked > self._policy.retry_after_max
        if not may_repeat or self._done > self._policy.retries or is_long or (left is not None and pause >= left):
            raise error from cause
        return pause

    def _value(self, received: Received) -> Any:
        if "json" not in received.headers.get("content-type", ""):
            raise self._strange(received, "the answer is not JSON")
        try:
            return json.loads(received.content)
        except (ValueError, RecursionError):
            raise self._strange(received, "the answer is damaged JSON") from None

    def _strange(self, received: Received, what: str) -> InvalidAnswer:
        message = f"{self._what()}: {what}; is this the address of a winnow service?"
        return InvalidAnswer(message, code="invalid_answer", status=received.status)

    def _what(self) -> str:
        return f"{self._call.method} {self._url}{self._call.path}"


@dataclass(frozen=True, slots=True)
class Pause:
    """The service refused for now."""

    seconds: float


def _backoff(done: int) -> float:
    """Return a pause that grows, with a random part: clients that failed together must not return together."""
    longest = min(FIRST_PAUSE * 2.0**done, LONGEST_PAUSE)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  no secret


def _seconds_of(header: str | None) -> float | None:
    """Return what Retry-After asks for: seconds or a date; None for neither."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if seconds < float("inf") else None


def _reason(failure: Exception) -> str:
    text = " ".join(str(failure).split())
    return f"{type(failure).__name__}: {text}" if text else type(failure).__name__
