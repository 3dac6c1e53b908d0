"""What does a vLLM server's log say? Its last line, its last error, and whether memory ran out.

The server writes into the file by itself; here it is only read, as it grows. What vLLM writes is a foreign text: it is
shown to the operator and searched for a few sentences of known meaning, and nothing else is concluded from it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO, Final

from winnow.api.formatting import snippet
from winnow.api.vllm.command import SIGNS, Shortage
from winnow.api.vllm.watchdog import FIRST_WORDS

READ_BYTES_MAX: Final = 1 << 18  # bytes read at once; a traceback has a tenth of it, and a flood is not worth reading
SHOWN_CHARACTERS: Final = 240  # of a line, where it stands in a message
_PREFIX: Final = re.compile(
    r"^(?:\(\w+(?: pid=\d+)?\)\s*)?(?:(?P<level>INFO|WARNING|ERROR|DEBUG) [\d-]+ [\d:]+ )?(?:\[[^\]]*\] )?"
)
_ERROR: Final = re.compile(r"\b[\w.]*(?:Error|Exception)\b: .+|\berror: .+")
_NO_CAUSE: Final = ("Engine core initialization failed", "EngineDeadError", "Engine core proc")  # they point elsewhere


class VllmLog:
    """The log of one server. `renew` before each start, `read` as often as one likes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last_line = ""
        self.error = ""  # the last line that names one, the server's own summaries left out
        self.shortage: Shortage | None = None
        self._offset = 0
        self._rest = b""

    def renew(self) -> None:
        """An empty file. What the server said before stays beside it, once: the reason of the new start is in it.

        It is forgotten here in any case: where no file can be made, the last start's words explain nothing.
        """
        self.last_line, self.error, self.shortage = "", "", None
        self._offset, self._rest = 0, b""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self.path.replace(self.path.with_suffix(".previous.log"))
        self.path.touch()

    def read(self) -> None:
        """Takes in what has come since. A log that somebody removed says nothing; the server is none the worse."""
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
        if size < self._offset:  # somebody emptied it, as those do who keep logs short
            self._offset, self._rest = 0, b""
        file.seek(max(self._offset, size - READ_BYTES_MAX))
        said = file.read(READ_BYTES_MAX)
        self._offset = file.tell()
        return said

    def _take(self, line: str) -> None:
        prefix = _PREFIX.match(line.strip())
        assert prefix is not None, "all its parts may be missing. This is a bug."
        said = snippet(line.strip()[prefix.end() :], characters=SHOWN_CHARACTERS)
        if not said or said.startswith(FIRST_WORDS):  # the guard's, not the server's
            return
        self.last_line = said
        found = _ERROR.search(said)
        is_grave = prefix["level"] in {None, "ERROR"}  # a warning may name an error that did no harm
        if found and is_grave and not any(text in said for text in _NO_CAUSE):
            self.error = found[0]
        for sign, shortage in SIGNS:
            if sign in line and self.shortage is None:
                self.shortage = shortage
