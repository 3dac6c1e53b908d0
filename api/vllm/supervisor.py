"""Life cycle of one vLLM server: start, watch, restart after it ends, shrink after memory ran out.

    QUEUED ── its turn ──> STARTING ── answers ──> SERVING
       ^                       └────────┬─────────────┘
       |                               ends
       └── the wait is over ── WAITING <┘      ... or memory ran out twice ──> GIVEN_UP

Rule 1: only the table `AFTER` changes states.
Rule 2: clock, processes and health checks are parameters, so that tests run hours of this life in a second.
Rule 3: `problem` and `note` describe the true state in a sentence.
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
from winnow.api.vllm.command import VllmCommand, shrink
from winnow.api.vllm.log import VllmLog
from winnow.api.vllm.model import KINDS
from winnow.api.vllm.process import Answers, Process, Spawn, with_environment

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.5  # seconds between looks at a server
ASK_EVERY_SECONDS: Final = 5.0  # seconds between health checks of a serving server
WAIT_SECONDS_LEAST: Final = 1.0  # before the second try; doubled for each further one
WAIT_SECONDS_MAX: Final = 60.0
WELL_SECONDS: Final = 300.0  # seconds; 16 GB from a slow disk, compiled and captured, take a third of it
START_SECONDS_MAX: Final = 1_800.0  # seconds; 16 GB from a slow disk, compiled and captured, take a third of it
SIGNALLED: Final = 128  # the watchdog's exit code is this plus the signal's number if a signal ended the server
SILENT_SECONDS_MAX: Final = 60.0  # seconds without an answer to /health before a server counts as hung


class State(StrEnum):
    """State of a server."""

    QUEUED = "queued"  # another one is starting on the same GPU: each measures free memory
    STARTING = "starting"
    SERVING = "serving"
    WAITING = "waiting"  # for a restart
    GIVEN_UP = "given up"
    STOPPING = "stopping"  # winnow is stopping


class Event(StrEnum):
    """Events in the life of a server."""

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
    """A source of time."""

    def now(self) -> float:
        """Seconds since an arbitrary start."""

    async def sleep(self, seconds: float) -> None: ...


class RealClock:
    """Implements `Clock`."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class VllmServer:
    """One server. Call `run` once; everything else may be read at any time, in the same event loop."""

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
        """Name in sentences: reranker, embedder."""
        return KINDS[self.command.role]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def seconds(self) -> float:
        """Seconds in this state."""
        return self._clock.now() - self._since

    @property
    def problem(self) -> str | None:
        """Why it does not answer; None while it serves."""
        after = f", after it stopped: {self._cause}" if self._cause else ""
        left = max(0.0, self._wait_seconds - self.seconds)
        said = {
            State.QUEUED: f"starting vLLM for the {self.name} (servers on one device start one by one){after}",
            State.STARTING: f"starting vLLM for the {self.name} ({duration(self.seconds)} so far){after}",
            State.WAITING: f"vLLM for the {self.name} stopped ({self._cause}); it restarts in {duration(left)}",
            State.GIVEN_UP: f"vLLM for the {self.name} ran out of memory again with smaller settings and will not "
            f"restart ({self._cause}); see its log: {self.log.path}",
            State.STOPPING: f"vLLM for the {self.name} is being stopped",
        }
        return said.get(self.state)

    @property
    def note(self) -> str | None:
        """How it differs from the plan, though it may serve."""
        if not self.is_smaller:
            return None
        return (
            f"vLLM for the {self.name} ran out of memory: it now runs uncompiled, with half the step size, and slower"
        )

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
        """Announce that `run` will be cancelled."""
        self._advance(Event.LEFT)

    async def run(self) -> None:
        """Run until cancelled, which stops the server, or given up."""
        while self.state is not State.GIVEN_UP:
            try:
                cause = await self._run_once()
            except OSError as error:  # no process, no log, disk full: as if the server had ended
                cause = f"it could not be started: {error}"
            self._handle_end(cause)
            if self.state is State.WAITING:
                await self._clock.sleep(self._wait_seconds)
                self._advance(Event.DUE)

    async def _run_once(self) -> str:
        """Run one process from start to end. Returns why it ended."""
        async with contextlib.AsyncExitStack() as ending:
            async with self._turn:
                self._advance(Event.TURN)
                process = await self._start_process()
                ending.push_async_callback(process.stop)
                cause = await self._wait_until_serving(process)
                if cause is not None:
                    await process.stop()  # before another server measures free memory
            if cause is None:
                self._advance(Event.ANSWERED)
                cause = await self._watch(process)
        return cause

    async def _start_process(self) -> Process:
        self.log.renew()
        self.starts += 1
        command = with_environment(self.command.environment, [self._python, *self.command.argv])
        return await self._spawn(command, self.log.path)

    async def _wait_until_serving(self, process: Process) -> str | None:
        """Wait until it answers. Returns None, or why it ended."""
        while self.seconds < START_SECONDS_MAX:
            self.log.read()
            if process.code is not None:
                return self._describe_end(process)
            if await self._answers(self.port):
                return None
            await self._clock.sleep(LOOK_SECONDS)
        return f"it did not answer within {duration(START_SECONDS_MAX)}"

    async def _watch(self, process: Process) -> str:
        """Watch it. Returns why it ended."""
        heard = asked = self._clock.now()
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            self.log.read()
            if process.code is not None:
                return self._describe_end(process)
            if self._clock.now() - asked >= ASK_EVERY_SECONDS:
                asked = self._clock.now()
                if await self._answers(self.port):
                    heard = self._clock.now()
                elif asked - heard >= SILENT_SECONDS_MAX:
                    return f"it did not answer for {duration(SILENT_SECONDS_MAX)}"
            if self.seconds >= WELL_SECONDS:
                self._failures = 0

    def _describe_end(self, process: Process) -> str:
        """Why it ended. A signal is a cause; the log does not know who sent it."""
        self.log.read()  # its last lines may be newer than the last look
        code = process.code or 0
        number = -code if code < 0 else code - SIGNALLED
        if number in set(signal.Signals):
            named = f"killed by {signal.Signals(number).name}"
            return f"{named}: {self.log.error}" if self.log.error else named
        return f"exit code {code}: {self.log.error or self.log.last_line or 'no output'}"

    def _handle_end(self, cause: str) -> None:
        self._cause = cause
        shortage = self.log.shortage
        if shortage is not None and self.is_smaller:
            self._advance(Event.EXHAUSTED)
            log.error("%s", self.problem)
            return
        self._wait_seconds = min(WAIT_SECONDS_MAX, WAIT_SECONDS_LEAST * 2**self._failures)
        self._failures += 1
        self._advance(Event.ENDED)
        log.error("%s", self.problem)
        if shortage is not None:
            self.command, self.is_smaller = shrink(self.command, shortage), True
            log.warning("%s", self.note)

    def _advance(self, event: Event) -> None:
        self.state = AFTER[self.state][event]
        self._since = self._clock.now()
        if self.state is State.SERVING:
            self._cause = self.log.error = ""
