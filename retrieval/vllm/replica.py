"""State of one server: whether it may be called, and how much it has in hand.

    UNPROVEN --passed--> PROVEN --lost--> LEFT_ALONE --passed--> PROVEN
        |                                   ^    |
        +-------------failed----------------+    +--failed--> LEFT_ALONE

Rule 1: a server is used only if it has passed its check since it was last lost: it may have come back as another.
Rule 2: callers' requests are never probes; a server that is left alone is checked in the background.
Rule 3: silence counts only if the server had time and answered no other call meanwhile: a caller with a short deadline
must not take a healthy server away from all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from winnow.retrieval.vllm.client import CallFailed, Fault, VllmClient


class Standing(StrEnum):
    """State of a server."""

    UNPROVEN = "unproven"
    PROVEN = "proven"
    LEFT_ALONE = "left alone"  # the open breaker; its half-open probes are checks


class Event(StrEnum):
    """What can happen to a server."""

    PASSED = "passed"  # its check
    FAILED = "failed"  # its check
    LOST = "lost"  # it stopped answering


AFTER: Final[Mapping[Standing, Mapping[Event, Standing]]] = {
    Standing.UNPROVEN: {Event.PASSED: Standing.PROVEN, Event.FAILED: Standing.LEFT_ALONE},
    Standing.PROVEN: {Event.LOST: Standing.LEFT_ALONE},
    Standing.LEFT_ALONE: {Event.PASSED: Standing.PROVEN, Event.FAILED: Standing.LEFT_ALONE},
}


_DOUBLINGS_MAX: Final = 10  # of a pause, long after it has reached its maximum; a day of failures would overflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Limits of the breaker. With the defaults a healed server is back within three seconds."""

    failures_max: int = 3  # consecutive calls that were broken or silent; one lost connection is enough
    silence_seconds: float = 2.0  # a call with less time says nothing about the server
    pause_seconds: float = 0.25  # until the first check of a lost server; doubled each time
    pause_seconds_max: float = 1.0
    proof_seconds_max: float = 60.0  # the first answer after a start may wait for a compiler
    proof_seconds_short: float = 1.0  # for a server that stayed up, or ten times what its last check took
    proof_seconds_slow: float = 4.0  # upper limit of that
    watch_seconds: float = 2.0  # between two looks at an idle server; no restart is faster


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaReport:
    """State of a server, for operators."""

    url: str
    standing: Standing
    problem: str | None  # why it is left alone
    tokens_in_flight: int


class Replica:
    """One server of a pool. Pure but for `client`: callers pass the time."""

    def __init__(self, client: VllmClient, patience: Patience) -> None:
        self.client = client
        self.tokens_in_flight = 0
        self.standing = Standing.UNPROVEN
        self.problem: str | None = None
        self._patience = patience
        self._failures = 0
        self._proofs_failed = 0
        self._answered_at = -1.0
        self._passed_at = -1.0
        self._proof_took: float | None = None  # seconds; None if it was gone since
        self._was_gone = True
        self._was_believed = False  # it has passed, and was not rejected since

    @property
    def report(self) -> ReplicaReport:
        return ReplicaReport(
            url=self.client.url,
            standing=self.standing,
            problem=self.problem,
            tokens_in_flight=self.tokens_in_flight,
        )

    @property
    def pause(self) -> float:
        """Seconds to wait before the next check."""
        patience = self._patience
        doublings = min(self._proofs_failed, _DOUBLINGS_MAX)
        return min(patience.pause_seconds * 2.0**doublings, patience.pause_seconds_max)

    @property
    def proof_seconds(self) -> float:
        """Time limit of its next check."""
        patience = self._patience
        if self._was_gone or self._proof_took is None:
            return patience.proof_seconds_max
        return min(max(10.0 * self._proof_took, patience.proof_seconds_short), patience.proof_seconds_slow)

    def passed(self, *, took: float, now: float) -> None:
        self._step(Event.PASSED)
        self.problem = None
        self._failures = self._proofs_failed = 0
        self._proof_took, self._was_gone = took, False
        self._passed_at = now
        self._was_believed = True

    def failed_proof(self, problem: str, *, was_gone: bool) -> None:
        self._step(Event.FAILED)
        self.problem = problem
        self._proofs_failed += 1
        self._was_gone |= was_gone

    def refused(self, problem: str) -> bool:
        """Record a wrong answer to its check. Returns whether earlier answers are now in doubt."""
        self.failed_proof(problem, was_gone=False)
        was_believed, self._was_believed = self._was_believed, False
        return was_believed

    def answered(self, now: float) -> None:
        self._failures = 0
        self._answered_at = now

    def failed(self, failure: CallFailed, *, since: float) -> bool:
        """Record a failed call. Returns whether the server is lost now."""
        if failure.fault is Fault.BUSY:
            return False
        return self._count_failure(failure.detail, since=since, at_once=failure.fault is Fault.GONE)

    def was_away(self, failure: CallFailed, *, since: float) -> bool:
        """Record that it did not even tell its name, for which no server is too busy. Returns whether it is lost."""
        return failure.fault is not Fault.SILENT and self._count_failure(failure.detail, since=since, at_once=True)

    def stayed_silent(self, *, since: float, now: float, detail: str) -> bool:
        """Record silence, excused by other answers or too little time. Returns whether the server is lost now."""
        if now - since < self._patience.silence_seconds or self._answered_at >= since:
            return False
        return self._count_failure(detail, since=since, at_once=False)

    def _count_failure(self, problem: str, *, since: float, at_once: bool) -> bool:
        if self.standing is not Standing.PROVEN or since < self._passed_at:
            return False  # other calls sent with this one have reported it already, and it may have come back meanwhile
        self._failures += 1
        if not at_once and self._failures < self._patience.failures_max:
            return False
        self._step(Event.LOST)
        self.problem = problem
        self._was_gone = at_once
        return True

    def _step(self, event: Event) -> None:
        self.standing = AFTER[self.standing][event]  # a KeyError is a bug of the pool
