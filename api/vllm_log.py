"""What does a vLLM server's log say? Its last line, its last error, and whether memory ran out.

The server writes into the file by itself; here it is only read, as it grows. What vLLM writes is a foreign text: it is
shown to the operator and searched for a few sentences of known meaning, and nothing else is concluded from it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from api.terminal import snippet
from api.vllm_command import SIGNS, Shortage

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
        """An empty file. What the server said before stays beside it, once: the reason of the new start is in it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self.path.replace(self.path.with_suffix(".previous.log"))
        self.path.touch()
        self.last_line, self.error, self.shortage = "", "", None
        self._offset, self._rest = 0, b""

    def read(self) -> None:
        """Takes in what has come since."""
        with self.path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(self._offset, size - READ_BYTES_MAX))
            *lines, self._rest = (self._rest + file.read(READ_BYTES_MAX)).split(b"\n")
            self._offset = file.tell()
        for line in lines:
            self._take(line.decode("utf-8", "replace"))

    def _take(self, line: str) -> None:
        prefix = _PREFIX.match(line.strip())
        assert prefix is not None, "all its parts may be missing. This is a bug."
        said = snippet(line.strip()[prefix.end() :], characters=SHOWN_CHARACTERS)
        if not said:
            return
        self.last_line = said
        found = _ERROR.search(said)
        is_grave = prefix["level"] in {None, "ERROR"}  # a warning may name an error that did no harm
        if found and is_grave and not any(text in said for text in _NO_CAUSE):
            self.error = found[0]
        for sign, shortage in SIGNS:
            if sign in line and self.shortage is None:
                self.shortage = shortage
