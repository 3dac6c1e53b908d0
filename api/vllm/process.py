"""How is a vLLM server started, asked whether it is well, and ended with everything below it?

The server runs under `api/vllm/watchdog.py`, which ends it when this process is gone. Both are in a process group of
their own: Ctrl-C in the terminal reaches winnow alone, which ends its servers in order; and what a server leaves behind
(vLLM computes in a process of its own) is found by the group.
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
from winnow.api.vllm import watchdog as vllm_guard
from winnow.retrieval.errors import SettingInvalid

GRACE_SECONDS: Final = 10.0  # seconds for the answers under way, and for the GPU's memory to be given back in order
ASK_SECONDS_MAX: Final = 5.0  # seconds; /health computes nothing
_OK: Final = b"200"
_GUARD: Final = str(Path(vllm_guard.__file__).absolute())
_KEPT_FROM_IT: Final = tuple(row.variable for row in rows() if row.flag is None)  # secrets, of no use to vLLM


class Process(Protocol):
    """A server that was started."""

    @property
    def code(self) -> int | None:
        """How it ended; None while it runs."""

    async def stop(self) -> None:
        """Ends it and all below it. Once it has ended this only clears up; it may be called again."""


class Spawn(Protocol):
    """Starts a server; what it says goes to the end of the log."""

    async def __call__(self, command: Sequence[str], log: Path) -> Process: ...


class Answers(Protocol):
    """Asks whether a server on this port of this machine is well."""

    async def __call__(self, port: int) -> bool: ...


def found_python(python: str | None) -> str:
    """The path of the Python that has vllm; that it has it is asked elsewhere. Raises `SettingInvalid`.

    Links are kept: what a virtual environment's python links to knows nothing of the environment.
    """
    found = shutil.which(python or sys.executable)
    if found is None:
        raise SettingInvalid(f"there is no {python} that can be started; --vllm-python names the Python that has vllm")
    return str(Path(found).absolute())


def with_environment(environment: Sequence[tuple[str, str]], command: Sequence[str]) -> list[str]:
    """The command, which inherits our variables but for our secrets, and gets these."""
    without = [part for name in _KEPT_FROM_IT for part in ("-u", name)]
    return ["env", *without, *(f"{name}={value}" for name, value in environment), *command]


async def spawn(command: Sequence[str], log: Path, *, grace_seconds: float = GRACE_SECONDS) -> Process:
    """Implements `Spawn`, with the guard between. Its folder is the log's: in ours lie modules that it might import."""
    with log.open("ab") as written:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", _GUARD, str(grace_seconds)),
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
        self._process.stdin.close()  # the word to the guard, which has its own grace
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace_seconds + 2):
                await self._process.wait()
        with contextlib.suppress(ProcessLookupError):  # nobody is left, as it should be
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()


async def answers(port: int) -> bool:
    """Implements `Answers`. Ten lines of HTTP/1.0: the service's HTTP client belongs to the models' clients."""
    try:
        async with asyncio.timeout(ASK_SECONDS_MAX):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET /health HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):  # the last: somebody else listens there, and sends no lines
        return False
    return status.split(b" ")[1:2] == [_OK]
