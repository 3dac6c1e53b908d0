"""Reads a vLLM server's log: its last line, its last error, and whether memory ran out.

The server writes the file itself; this only reads it as it grows. The log is foreign text: it is shown to the operator
and searched for a few sentences of known meaning, and nothing else is concluded from it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO, Final

from winnow.api.formatting import snippet
from winnow.api.vllm.command import SIGNS, Shortage
from winnow.api.vllm.watchdog import FIRST_WORDS

READ_BYTES_MAX: Final = 1 << 18  # bytes read at once; a traceback is a tenth of it, and a flood is not worth reading
SHOWN_CHARACTERS: Final = 240  # of a line, inside a message
_PREFIX: Final = re.compile(
    r"^(?:\(\w+(?: pid=\d+)?\)\s*)?(?:(?P<level>INFO|WARNING|ERROR|DEBUG) [\d-]+ [\d:]+ )?(?:\[[^\]]*\] )?"
)
_ERROR: Final = re.compile(r"\b[\w.]*(?:Error|Exception)\b: .+|\berror: .+")
_NO_CAUSE: Final = ("Engine core initialization failed", "EngineDeadError", "Engine core proc")  # not the cause


class VllmLog:
    """The log of one server. Call `renew` before each start, `read` at any time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last_line = ""
        self.error = ""  # the last line with an error, except the server's own summaries
        self.shortage: Shortage | None = None
        self._offset = 0
        self._rest = b""

    def renew(self) -> None:
        """Start an empty file. The previous log is kept once: it holds the reason of the new start.

        The state is reset in any case: even if no file can be created, the last start's lines explain nothing.
        """
        self.last_line, self.error, self.shortage = "", "", None
        self._offset, self._rest = 0, b""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self.path.replace(self.path.with_suffix(".previous.log"))
        self.path.touch()

    def read(self) -> None:
        """Read new lines. A missing log is no error; the server is not affected."""
        try:
            with self.path.open("rb") as file:
                said = self._since(file)
        except OSError:
            return
        *lines, self._rest = (self._rest + said).split(b"\n")
        for line in lines:
            self._take(line.decode("utf-8", "replace"))

    def _since(self, file: BinaryIO) -> bytes:
        size = file.seek(0, 2)
        if size < self._offset:  # the file was truncated, as log rotation does
            self._offset, self._rest = 0, b""
        file.seek(max(self._offset, size - READ_BYTES_MAX))
        said = file.read(READ_BYTES_MAX)
        self._offset = file.tell()
        return said

    def _take(self, line: str) -> None:
        prefix = _PREFIX.match(line.strip())
        assert prefix is not None, "all its parts may be missing. This is a bug."
        said = snippet(line.strip()[prefix.end() :], characters=SHOWN_CHARACTERS)
        if not said or said.startswith(FIRST_WORDS):  # the watchdog's line, not the server's
            return
        self.last_line = said
        found = _ERROR.search(said)
        is_grave = prefix["level"] in {None, "ERROR"}  # a warning may mention a harmless error
        if found and is_grave and not any(text in said for text in _NO_CAUSE):
            self.error = found[0]
        for sign, shortage in SIGNS:
            if sign in line and self.shortage is None:
                self.shortage = shortage
