"""Starts a vLLM server, checks its health, and stops it with all its child processes.

The server runs under `api/vllm/watchdog.py`, which stops it when this process is gone. Both have their own process
group: Ctrl-C in the terminal reaches only winnow, which stops its servers in order, and child processes that a server
leaves behind (vLLM computes in one) are found by the group.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from winnow.api.settings import rows
from winnow.api.vllm import watchdog
from winnow.retrieval.errors import SettingInvalid

GRACE_SECONDS: Final = 10.0  # seconds for answers in progress, and for an orderly release of GPU memory
ASK_SECONDS_MAX: Final = 5.0  # seconds; /health computes nothing
_OK: Final = b"200"
_WATCHDOG: Final = str(Path(watchdog.__file__).absolute())
_WITHHELD: Final = tuple(row.variable for row in rows() if row.flag is None)  # secrets, which vLLM does not need


class Process(Protocol):
    """A server process."""

    @property
    def code(self) -> int | None:
        """Exit code; None while it runs."""

    async def stop(self) -> None:
        """Stop it and its child processes. After its end this only cleans up; safe to call again."""


class Spawn(Protocol):
    """Starts a server; its output is appended to the log."""

    async def __call__(self, command: Sequence[str], log: Path) -> Process: ...


class Answers(Protocol):
    """Checks the health of a server on this port of this machine."""

    async def __call__(self, port: int) -> bool: ...


def find_python(python: str | None) -> str:
    """Path of the Python that should have vllm, which is not checked here. Raises `SettingInvalid`.

    Links are not resolved: the target of a virtual environment's python does not belong to the environment.
    """
    found = shutil.which(python or sys.executable)
    if found is None:
        raise SettingInvalid(f"{python} is not a program; set the Python that has vllm with --vllm-python")
    return str(Path(found).absolute())


def with_environment(environment: Sequence[tuple[str, str]], command: Sequence[str]) -> list[str]:
    """The command with our variables, except secrets, and these."""
    without = [part for name in _WITHHELD for part in ("-u", name)]
    return ["env", *without, *(f"{name}={value}" for name, value in environment), *command]


async def spawn(command: Sequence[str], log: Path, *, grace_seconds: float = GRACE_SECONDS) -> Process:
    """Implements `Spawn`, with the watchdog in between. Runs in the log's folder: ours has modules it might import."""
    with log.open("ab") as written:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", _WATCHDOG, str(grace_seconds)),
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=written,
            stderr=written,
            cwd=log.parent,
            start_new_session=True,
        )
    return _Guarded(process, grace_seconds)


class _Guarded:
    """Implements `Process`."""

    def __init__(self, process: asyncio.subprocess.Process, grace_seconds: float) -> None:
        self._process = process
        self._grace_seconds = grace_seconds

    @property
    def code(self) -> int | None:
        return self._process.returncode

    async def stop(self) -> None:
        assert self._process.stdin is not None, "it was started with a pipe. This is a bug."
        self._process.stdin.close()  # tells the watchdog, which has its own grace period
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace_seconds + 2):
                await self._process.wait()
        with contextlib.suppress(ProcessLookupError):  # none is left, as it should be
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()


async def answers(port: int) -> bool:
    """Implements `Answers` with ten lines of HTTP/1.0: the HTTP client is reserved for the models' clients."""
    try:
        async with asyncio.timeout(ASK_SECONDS_MAX):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET /health HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):  # ValueError: another program listens there, and sends no lines
        return False
    return status.split(b" ")[1:2] == [_OK]
