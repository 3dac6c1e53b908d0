"""The server of `winnow serve`: uvicorn, with limits on connections, time and log.

Rule 1: connections stay below the limit of file descriptors, which is raised to the system's maximum at start.
Rule 2: refused requests, and connections that cannot be accepted, are logged at a limited rate; the rest is counted.
"""

from __future__ import annotations

import asyncio
import errno
import gc
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

GRACE_SECONDS: Final = 5  # for requests in progress when the service stops
ACCEPTED_AT_ONCE: Final = 16  # connections per round of the event loop, for which requests in progress wait
BACKLOG: Final = 2_048  # connections waiting to be accepted
DESCRIPTORS_WITHOUT_LIMIT: Final = 65_536  # used if the system sets no limit
SHARE_OF_DESCRIPTORS: Final = 0.75  # for connections; the rest is for files, databases and model servers
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

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # about once a second
            self.connections.sweep()
        return await super().on_tick(counter)

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
