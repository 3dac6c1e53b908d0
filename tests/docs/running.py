"""Runs the blocks of a page in one folder, as somebody who follows the page would: in one shell, on a terminal.

Rule 1. A page says `localhost:8000`; the service under test listens elsewhere, and only that is replaced.
Rule 2. Variables and the working directory carry over from block to block.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from dataclasses import dataclass
from pathlib import Path

from tests.docs.blocks import Block, Page
from tests.docs.matching import matches_json, matches_text

SHOWN_ADDRESS = "localhost:8000"
BLOCK_SECONDS = 120
ROWS_AND_COLUMNS = (40, 100)
STATE = ".shell-state"
SHELL = f"""
if [ -e "$PAGE_FOLDER/{STATE}" ]; then . "$PAGE_FOLDER/{STATE}"; cd "$PAGE_AT"; fi
set -euo pipefail
trap 'code=$?; PAGE_AT=$PWD; export PAGE_AT; export -p > "$PAGE_FOLDER/{STATE}"; exit $code' EXIT
"""


class PageFailed(AssertionError):
    """A page shows what does not happen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """What a block printed, and its exit code."""

    text: str
    code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Follows a page."""

    folder: Path
    environment: dict[str, str]
    port: int

    def follow(self, page: Page) -> None:
        last = Printed(text="", code=0)
        for block in page.blocks:
            where = f"{page.path}:{block.line}"
            if block.kind == "file":
                self._write(block)
            elif block.kind == "output":
                _compare(block, last, where)
            elif block.kind in ("shell", "python"):
                last = self._run(block)
                if last.code != block.exits:
                    raise PageFailed(f"{where}: exit code {last.code}, not {block.exits}\n{block.text}\n{last.text}")

    def _write(self, block: Block) -> None:
        path = self.folder / block.argument
        assert path.resolve().is_relative_to(self.folder.resolve())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._addressed(block.text), encoding="utf-8")

    def _addressed(self, text: str) -> str:
        return text.replace(SHOWN_ADDRESS, f"localhost:{self.port}")

    def _run(self, block: Block) -> Printed:
        text = self._addressed(block.text)
        if block.kind == "python":
            (self.folder / ".block.py").write_text(text, encoding="utf-8")
            text = 'python "$PAGE_FOLDER/.block.py"'
        printed = run_on_terminal(
            ["bash", "-c", SHELL + text],
            folder=self.folder,
            environment=self.environment | {"PAGE_FOLDER": str(self.folder)},
        )
        return Printed(text=printed.text.replace(f"localhost:{self.port}", SHOWN_ADDRESS), code=printed.code)


def _compare(block: Block, printed: Printed, where: str) -> None:
    matches = matches_json if block.language == "json" else matches_text
    if not matches(block.text, printed.text):
        raise PageFailed(f"{where}: shown is\n{block.text}\nprinted was\n{printed.text}")


def run_on_terminal(command: list[str], *, folder: Path, environment: dict[str, str]) -> Printed:
    """Standard output and standard error together, in the order in which a terminal gets them."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *ROWS_AND_COLUMNS, 0, 0))
    try:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
        )
    finally:
        os.close(theirs)
    watchdog = threading.Timer(BLOCK_SECONDS, process.kill)
    watchdog.start()
    try:
        pieces = []
        while piece := _read(ours):
            pieces.append(piece)
        code = process.wait()
    finally:
        watchdog.cancel()
        os.close(ours)
    return Printed(text=b"".join(pieces).decode().replace("\r\n", "\n"), code=code)


def _read(terminal: int) -> bytes:
    """Nothing once all who could write have closed it, which Linux tells by an error."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""
