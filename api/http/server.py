"""The server that `winnow serve` runs: uvicorn, with bounds on connections, time and log.

Rule 1: connections end below the limit of file descriptors, which is raised to what the system allows at start.
Rule 2: refused requests, and connections that cannot be accepted, are logged at a rate, and the rest is counted.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
import sys
from functools import partial
from typing import Any, Final

import uvicorn

from winnow.api.http.connections import Connections
from winnow.api.http.log_rate import Sparing
from winnow.api.http.protocol import BoundedProtocol, Turns
from winnow.retrieval.limits import CONNECTIONS_MAX

GRACE_SECONDS: Final = 5  # for the answers under way when the service is stopped
ACCEPTED_AT_ONCE: Final = 16  # connections in one round of the event loop: those that are answered wait for it
BACKLOG: Final = 2_048  # connections that wait to be accepted
DESCRIPTORS_WITHOUT_LIMIT: Final = 65_536  # asked for where the system sets no limit
SHARE_OF_DESCRIPTORS: Final = 0.75  # for connections; the rest is for files, databases and model servers
SWITCH_SECONDS: Final = 0.001  # that a thread may keep Python to itself; five times shorter than Python's own
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = logging.getLogger(__name__)


def raise_descriptors() -> int:
    """To the hard limit. Returns how many there are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WITHOUT_LIMIT if hard == resource.RLIM_INFINITY else hard
    if wanted > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError) as error:  # a system that knows a lower limit still
            log.warning("the limit of %d file descriptors cannot be raised to %d: %s", soft, wanted, error)
            return soft
    return max(soft, wanted)


def connections_max(descriptors: int) -> int:
    """How many connections may be open."""
    return max(1, min(CONNECTIONS_MAX, int(descriptors * SHARE_OF_DESCRIPTORS)))


class Server(uvicorn.Server):
    """Runs until it is asked to stop."""

    def __init__(self, app: Any, *, log_config: dict[str, Any] | None = None, connections: Connections) -> None:
        self.connections = connections
        protocol: Any = partial(BoundedProtocol, connections=connections, turns=Turns())
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                ws="none",
                log_config=log_config,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
                lifespan="on",
                backlog=ACCEPTED_AT_ONCE,  # of asyncio, which accepts as many in a row
            )
        )
        self._accepting = Sparing()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(self._note)
        sys.setswitchinterval(SWITCH_SECONDS)
        await super().startup(sockets=sockets)
        for each in sockets or []:
            each.listen(BACKLOG)

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # about once a second
            self.connections.sweep()
        return await super().on_tick(counter)

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What asyncio has to say; that there are no file descriptors it says without end."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _EXHAUSTED):
            loop.default_exception_handler(context)
        elif (passed_over := self._accepting.allowed()) is not None:
            log.error(
                "connections cannot be accepted: %s (%d are open; %d more times since this was last said)",
                error.strerror,
                len(self.connections),
                passed_over,
            )
