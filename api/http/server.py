"""The server of `winnow serve`: uvicorn, with limits on connections, time and log.

Rule 1: connections stay below the limit of file descriptors, which is raised to the system's maximum at start.
Rule 2: SIGTERM drains: the service says that it is not ready, continues to answer for a while, closing each connection
with its answer, then accepts no more and finishes what is in progress. SIGINT, or a second SIGTERM, skips the pause.
Rule 3: refused requests, and connections that cannot be accepted, are logged at a limited rate; the rest is counted.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import resource
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, Final

import uvicorn

from winnow.api.http.connections import Connections
from winnow.api.http.log_rate import Sparing
from winnow.api.http.protocol import BoundedProtocol, Turns
from winnow.retrieval.limits import CONNECTIONS_MAX

ACCEPTED_AT_ONCE: Final = 16  # connections per round of the event loop, for which requests in progress wait
BACKLOG: Final = 2_048  # connections waiting to be accepted
DESCRIPTORS_WITHOUT_LIMIT: Final = 65_536  # used if the system sets no limit
SHARE_OF_DESCRIPTORS: Final = 0.75  # for connections; the rest is for files, databases and model servers
SETTLE_SECONDS: Final = 0.3  # after draining, for requests that were sent before the port was closed
CLOSING: Final = (b"connection", b"close")
SWITCH_SECONDS: Final = 0.001  # maximum time a thread holds Python's lock; a fifth of Python's default
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = logging.getLogger(__name__)


def raise_descriptors() -> int:
    """Raise the limit to the hard limit, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WITHOUT_LIMIT if hard == resource.RLIM_INFINITY else hard
    if wanted > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError) as error:  # some systems have an even lower limit
            log.warning("the limit of %d file descriptors cannot be raised to %d: %s", soft, wanted, error)
            return soft
    return max(soft, wanted)


def connections_max(descriptors: int) -> int:
    """Return how many connections may be open."""
    return max(1, min(CONNECTIONS_MAX, int(descriptors * SHARE_OF_DESCRIPTORS)))


class Server(uvicorn.Server):
    """Runs until it is asked to stop."""

    def __init__(
        self,
        app: Any,
        *,
        log_config: dict[str, Any] | None = None,
        connections: Connections,
        drain_seconds: int = 0,
        stop_seconds: int = 5,
        stopping: Callable[[], None] = lambda: None,
    ) -> None:
        """Drain for `drain_seconds` after SIGTERM, and give requests in progress `stop_seconds` after that.

        `stopping` is called as soon as a signal arrives, before anything else changes.
        """
        self.connections = connections
        self._drain_seconds = drain_seconds
        self._stopping = stopping
        self._drained_at: float | None = None  # time.monotonic() when draining ends; None: not draining
        protocol: Any = partial(BoundedProtocol, connections=connections, turns=Turns())
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                ws="none",
                log_config=log_config,
                server_header=False,
                timeout_graceful_shutdown=stop_seconds,
                lifespan="on",
                backlog=ACCEPTED_AT_ONCE,  # asyncio accepts this many in a row
            )
        )
        self._accepting = Sparing()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(self._note)
        sys.setswitchinterval(SWITCH_SECONDS)
        await super().startup(sockets=sockets)
        for each in sockets or []:
            each.listen(BACKLOG)
        gc.freeze()  # what is loaded stays: no collection looks through it again

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's raises them again once it has stopped, but being stopped is no failure."""
        if threading.current_thread() is not threading.main_thread():  # where Python takes no handlers
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._stopping()
        if sig != signal.SIGTERM or not self._drain_seconds or self._drained_at is not None:
            super().handle_exit(sig, frame)
            return
        self._drained_at = time.monotonic() + self._drain_seconds
        self.config.encoded_headers.append(CLOSING)  # of which uvicorn makes the default headers once a second
        self.server_state.default_headers = [*self.server_state.default_headers, CLOSING]

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # about once a second
            self.connections.sweep()
        if self._drained_at is not None and time.monotonic() >= self._drained_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._drained_at is not None:
            await _accept_last(sockets or [])
            for each in self.servers:
                each.close()
            for bound in sockets or []:
                bound.close()
            log.warning("no more connections are accepted, after %d s of draining", self._drain_seconds)
            await asyncio.sleep(SETTLE_SECONDS)
        await super().shutdown(sockets=sockets)

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle errors of asyncio, which repeats endlessly that there are no file descriptors."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _EXHAUSTED):
            loop.default_exception_handler(context)
        elif (passed_over := self._accepting.allowed()) is not None:
            log.error(
                "connections cannot be accepted: %s (%d are open; happened %d more times since the last message)",
                error.strerror,
                len(self.connections),
                passed_over,
            )


async def _accept_last(sockets: list[socket.socket]) -> None:
    """Let the event loop accept what the system holds, and no more: closing a socket resets what waits there.

    A connection that asyncio has accepted but not yet set up when its server is closed would never be answered.
    """
    loop, waiting = asyncio.get_running_loop(), select.poll()
    for each in sockets:
        waiting.register(each, select.POLLIN)
    for _ in range(BACKLOG // ACCEPTED_AT_ONCE):
        if not waiting.poll(0):
            break
        await asyncio.sleep(0)  # one round of the loop
    for each in sockets:
        loop.remove_reader(each)
    await asyncio.sleep(0)  # sets up what the last round accepted
