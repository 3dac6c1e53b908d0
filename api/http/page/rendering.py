"""Has the frame of the page rendered in a process of its own, which ends: the service itself never imports Gradio.

The import takes seconds, in which it holds Python's lock, and memory for as long as the process lives.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass
from typing import Final

from starlette.staticfiles import StaticFiles

RENDERER: Final = (sys.executable, "-P", "-m", "winnow.api.http.page.shell")  # -P: nothing of the current folder
SECONDS_MAX: Final = 120  # on a machine that is very busy
ERROR_CHARACTERS: Final = 2_000  # of the renderer's last words


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """What Gradio rendered."""

    pages: dict[str, bytes]  # by language
    theme: bytes
    policy: str  # Content-Security-Policy
    files: dict[str, StaticFiles]  # by the first part of the path


_rendered: Final[list[Shell]] = []  # at most one: it is the same for every app of a process


async def rendered_shell() -> Shell:
    """Return the rendered frame, from a process that takes seconds if it is the first time."""
    if not _rendered:
        _rendered[:] = [_read(await _render())]
    return _rendered[0]


async def _render() -> bytes:
    process = await asyncio.create_subprocess_exec(
        *RENDERER,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,  # Ctrl-C is for the service
    )
    try:
        written, errors = await asyncio.wait_for(process.communicate(), SECONDS_MAX)
    finally:
        if process.returncode is None:  # the service stops, or the time is up
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"the page was not rendered: {errors.decode(errors='replace')[-ERROR_CHARACTERS:]}")
    return written


def _read(written: bytes) -> Shell:
    found = json.loads(written.splitlines()[-1])  # what a library prints at its import stands above
    return Shell(
        pages={language: page.encode() for language, page in found["pages"].items()},
        theme=found["theme"].encode(),
        policy=found["policy"],
        files={name: StaticFiles(directory=folder) for name, folder in found["folders"].items()},
    )
