"""Show the state of starting vLLM servers: a moving line in a terminal, an occasional line in a log.

It polls the servers a few times a second and prints changes; it changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

from winnow.api.cli.progress import LOG_EVERY_SECONDS
from winnow.api.cli.terminal import Terminal
from winnow.api.formatting import duration, snippet
from winnow.api.vllm.supervisor import State, VllmServer

if TYPE_CHECKING:
    from rich.status import Status

LOOK_SECONDS: Final = 0.25  # four times a second: an elapsed time that moves
_MOVING: Final = {State.STARTING: "Starting", State.STOPPING: "Stopping"}
MARGIN: Final = 4  # columns of the terminal that the moving line leaves free


@contextlib.asynccontextmanager
async def shown(terminal: Terminal, servers: Sequence[VllmServer]) -> AsyncIterator[None]:
    """Show the servers while the block runs."""
    task = asyncio.get_running_loop().create_task(_Shown(servers, terminal).watch())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class _Shown:
    def __init__(self, servers: Sequence[VllmServer], terminal: Terminal) -> None:
        self._servers = servers
        self._terminal = terminal
        self._console = terminal.err
        self._status: Status | None = None
        self._told = {server.name: (State.QUEUED, 0) for server in servers}
        self._logged_at = asyncio.get_running_loop().time()

    async def watch(self) -> None:
        try:
            while True:
                for server in self._servers:
                    self._tell_change(server)
                self._move()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._rest()

    def _tell_change(self, server: VllmServer) -> None:
        now = server.state, server.starts
        if now == self._told[server.name]:
            return
        self._told[server.name] = now
        if server.state is not State.SERVING:
            return  # failures are logged where they happen
        text = f"vLLM         {server.name} at {server.url}, log {server.log.path}"
        if self._status is not None:
            self._status.console.print(text, soft_wrap=True, markup=False)
        else:
            self._terminal.say(text, style="")

    def _move(self) -> None:
        """Redraw the line about starting servers in a terminal; repeat it now and then elsewhere."""
        starting = [server for server in self._servers if server.state in _MOVING]
        if not starting:
            self._rest()
            return
        lines = [self._line(server) for server in starting]
        if self._console.is_terminal:
            self._draw(lines)
        elif asyncio.get_running_loop().time() - self._logged_at >= LOG_EVERY_SECONDS:
            self._logged_at = asyncio.get_running_loop().time()
            for line in lines:
                self._terminal.say(line)

    def _line(self, server: VllmServer) -> str:
        doing = _MOVING[server.state]
        line = f"{doing} vLLM for the {server.name} · {duration(server.seconds)} · {server.log.last_line or '…'}"
        return snippet(line, characters=max(40, self._console.width - MARGIN))

    def _draw(self, lines: list[str]) -> None:
        from rich.text import Text

        text = Text("\n".join(lines), style="dim")
        if self._status is None:
            self._status = self._console.status(text, spinner="dots", refresh_per_second=8)
            self._status.start()
        else:
            self._status.update(text)

    def _rest(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
