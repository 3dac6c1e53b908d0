"""File of the records that were refused, one JSON line each: {"line", "source", "id", "reason"}."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

import orjson

from winnow.indexer.corpus import Reject
from winnow.retrieval.errors import WriteFailed
from winnow.retrieval.files.durable import keep_private

FIRST_MAX: Final = 3  # rejects shown immediately


class RejectsFile:
    """The rejects of one run; replaces those of an earlier run. Without rejects there is no file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.first: list[str] = []  # for people who do not open the file
        self._stream: BinaryIO | None = None

    def __enter__(self) -> Self:
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise WriteFailed(f"{self.path}: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()

    def write(self, reject: Reject) -> None:
        """Write one reject, unbuffered: a killed run keeps what it wrote."""
        row = {"line": reject.place.line, "source": reject.place.source, "id": reject.id, "reason": reject.reason}
        try:
            if self._stream is None:
                self._stream = self.path.open("ab", buffering=0)
                keep_private(self.path)  # it holds ids and pieces of documents
            self._stream.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        except OSError as error:
            raise WriteFailed(f"{self.path}: {error.strerror}") from error
        self.count += 1
        if len(self.first) < FIRST_MAX:
            self.first.append(f"{reject.place}: {reject.reason}")
