"""One vLLM server's life: started, watched, started again when it ends, made smaller when memory ran out.

    QUEUED ── its turn ──> STARTING ── answers ──> SERVING
       ^                       └────────┬─────────────┘
       |                               ends
       └── the wait is over ── WAITING <┘      ... or memory ran out twice ──> GIVEN_UP

Rule 1: states change by the table `AFTER` and nowhere else. Rule 2: clock, processes and health are given, so that
hours of this life pass in a second of a test. Rule 3: whoever asks is told the truth in a sentence: `problem`, `note`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from enum import StrEnum
from typing import Any, Final, Protocol

from winnow.api.formatting import duration
from winnow.api.vllm.command import VllmCommand, smaller
from winnow.api.vllm.log import VllmLog
from winnow.api.vllm.model import KINDS
from winnow.api.vllm.process import Answers, Process, Spawn, with_environment

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.5  # seconds between two looks at a server
ASK_EVERY_SECONDS: Final = 5.0  # seconds between two questions to one that serves
WAIT_SECONDS_LEAST: Final = 1.0  # before the second try; doubled with each further one
WAIT_SECONDS_MAX: Final = 60.0
WELL_SECONDS: Final = 300.0  # seconds of good health after which earlier failures are forgotten
START_SECONDS_MAX: Final = 1_800.0  # seconds; 16 GB from a slow disk, compiled and captured, take a third of it
SIGNALLED: Final = 128  # the guard's exit code where a signal ended the server is this plus the signal's number
SILENT_SECONDS_MAX: Final = 60.0  # seconds without an answer to /health, after which a server hangs


class State(StrEnum):
    """Where a server is in its life."""

    QUEUED = "queued"  # another one is starting on the same GPU: each measures what memory is free
    STARTING = "starting"
    SERVING = "serving"
    WAITING = "waiting"  # to be started again
    GIVEN_UP = "given up"
    STOPPING = "stopping"  # winnow is


class Event(StrEnum):
    """What may happen to it."""

    TURN = "its turn came"
    ANSWERED = "it answers"
    ENDED = "it ended"
    EXHAUSTED = "memory ran out again"
    DUE = "the wait is over"
    LEFT = "winnow stops"


AFTER: Final = {
    State.QUEUED: {Event.TURN: State.STARTING, Event.LEFT: State.STOPPING},
    State.STARTING: {
        Event.ANSWERED: State.SERVING,
        Event.ENDED: State.WAITING,
        Event.EXHAUSTED: State.GIVEN_UP,
        Event.LEFT: State.STOPPING,
    },
    State.SERVING: {
        Event.ENDED: State.WAITING,
        Event.EXHAUSTED: State.GIVEN_UP,
        Event.LEFT: State.STOPPING,
    },
    State.WAITING: {Event.DUE: State.QUEUED, Event.LEFT: State.STOPPING},
    State.GIVEN_UP: {Event.LEFT: State.STOPPING},
    State.STOPPING: {},
}


class Clock(Protocol):
    """Time that passes."""

    def now(self) -> float:
        """Seconds since whenever."""

    async def sleep(self, seconds: float) -> None: ...


class RealClock:
    """Implements `Clock`."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class VllmServer:
    """Use `run` once; everything else may be read at any time, in the same event loop."""

    def __init__(
        self,
        command: VllmCommand,
        *,
        python: str,
        port: int,
        log: VllmLog,
        turn: asyncio.Lock,
        spawn: Spawn,
        answers: Answers,
        clock: Clock,
    ) -> None:
        self.command = command
        self.port = port
        self.log = log
        self.state = State.QUEUED
        self.starts = 0
        self.is_smaller = False
        self._python = python
        self._turn, self._spawn, self._answers, self._clock = turn, spawn, answers, clock
        self._since = clock.now()
        self._failures = 0
        self._cause = ""
        self._wait_seconds = 0.0

    @property
    def name(self) -> str:
        """For a sentence: the reranker, the embedder."""
        return KINDS[self.command.role]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def seconds(self) -> float:
        """In this state so far."""
        return self._clock.now() - self._since

    @property
    def problem(self) -> str | None:
        """What keeps it from answering; None while it serves."""
        after = f", after it ended: {self._cause}" if self._cause else ""
        left = max(0.0, self._wait_seconds - self.seconds)
        said = {
            State.QUEUED: f"starting vLLM for the {self.name} when its turn comes{after}",
            State.STARTING: f"starting vLLM for the {self.name}, {duration(self.seconds)} so far{after}",
            State.WAITING: f"vLLM for the {self.name} ended ({self._cause}); started again in {duration(left)}",
            State.GIVEN_UP: f"vLLM for the {self.name} ran out of memory again with smaller settings and is not "
            f"started any more ({self._cause}); its log is {self.log.path}",
            State.STOPPING: f"vLLM for the {self.name} is being stopped",
        }
        return said.get(self.state)

    @property
    def note(self) -> str | None:
        """What is not as it was planned, though it may serve."""
        if not self.is_smaller:
            return None
        return f"memory ran out for the {self.name}: vLLM runs uncompiled and with a step of half the size, so slower"

    def said(self) -> dict[str, Any]:
        """For /readyz."""
        return {
            "role": self.command.role,
            "state": self.state.value,
            "seconds": round(self.seconds, 1),
            "starts": self.starts,
            "note": self.note,
        }

    def leave(self) -> None:
        """Says that `run` is about to be cancelled."""
        self._happened(Event.LEFT)

    async def run(self) -> None:
        """Until it is cancelled, which ends the server, or has given up."""
        while self.state is not State.GIVEN_UP:
            try:
                cause = await self._live()
            except OSError as error:  # no process, no log, no room on the disk: as if the server had ended
                cause = f"it could not be started: {error}"
            self._ended(cause)
            if self.state is State.WAITING:
                await self._clock.sleep(self._wait_seconds)
                self._happened(Event.DUE)

    async def _live(self) -> str:
        """One process, from its start to its end; why it ended."""
        async with contextlib.AsyncExitStack() as ending:
            async with self._turn:
                self._happened(Event.TURN)
                process = await self._started()
                ending.push_async_callback(process.stop)
                cause = await self._starting(process)
                if cause is not None:
                    await process.stop()  # before anybody else measures what memory is free
            if cause is None:
                self._happened(Event.ANSWERED)
                cause = await self._serving(process)
        return cause

    async def _started(self) -> Process:
        self.log.renew()
        self.starts += 1
        command = with_environment(self.command.environment, [self._python, *self.command.argv])
        return await self._spawn(command, self.log.path)

    async def _starting(self, process: Process) -> str | None:
        """Why it ended, or None when it answers."""
        while self.seconds < START_SECONDS_MAX:
            self.log.read()
            if process.code is not None:
                return self._cause_of(process)
            if await self._answers(self.port):
                return None
            await self._clock.sleep(LOOK_SECONDS)
        return f"it did not answer within {duration(START_SECONDS_MAX)}"

    async def _serving(self, process: Process) -> str:
        """Why it ended."""
        heard = asked = self._clock.now()
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            self.log.read()
            if process.code is not None:
                return self._cause_of(process)
            if self._clock.now() - asked >= ASK_EVERY_SECONDS:
                asked = self._clock.now()
                if await self._answers(self.port):
                    heard = self._clock.now()
                elif asked - heard >= SILENT_SECONDS_MAX:
                    return f"it did not answer for {duration(SILENT_SECONDS_MAX)}"
            if self.seconds >= WELL_SECONDS:
                self._failures = 0

    def _cause_of(self, process: Process) -> str:
        """A signal is a cause by itself; who sent it, the server's log does not know."""
        self.log.read()  # its last words may have come after the last look
        code = process.code or 0
        number = -code if code < 0 else code - SIGNALLED
        if number in set(signal.Signals):
            named = f"killed by {signal.Signals(number).name}"
            return f"{named}: {self.log.error}" if self.log.error else named
        return f"exit code {code}: {self.log.error or self.log.last_line or 'it said nothing'}"

    def _ended(self, cause: str) -> None:
        self._cause = cause
        shortage = self.log.shortage
        if shortage is not None and self.is_smaller:
            self._happened(Event.EXHAUSTED)
            log.error("%s", self.problem)
            return
        self._wait_seconds = min(WAIT_SECONDS_MAX, WAIT_SECONDS_LEAST * 2**self._failures)
        self._failures += 1
        self._happened(Event.ENDED)
        log.error("%s", self.problem)
        if shortage is not None:
            self.command, self.is_smaller = smaller(self.command, shortage), True
            log.warning("%s", self.note)

    def _happened(self, event: Event) -> None:
        self.state = AFTER[self.state][event]
        self._since = self._clock.now()
        if self.state is State.SERVING:
            self._cause = self.log.error = ""
