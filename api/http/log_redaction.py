"""What may stand in a log? No key, no query, no text: a log is read by more people than the data is.

Rule 1: whatever looks like a key of ours keeps its id and loses its secret.
Rule 2: of a URL the path is logged, never what follows a question mark.
Rule 3: of an error that nobody foresaw the log has its type and where it happened; its words only where they are a
machine's (no memory, no file), not where they may repeat a value that somebody sent.
"""

from __future__ import annotations

import logging
import re
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeAlias

from winnow.retrieval.errors import CallerError, WinnowError

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

_KEY: Final = re.compile(r"(wk_[0-9a-f]{12})_[0-9a-f]{16,}")
_BEARER: Final = re.compile(r"(?i)(bearer\s+)(?!wk_)\S+")
_OF_THE_MACHINE: Final = (OSError, MemoryError, RuntimeError, WinnowError)
_PLACE: Final = re.compile(r"(?<![\w:/.)])(?:/[^/\s:'\"]+)+/([^/\s:'\"]+)")  # no URL, and nothing relative
DATA_FOLDER: Final = "(data folder)"
WITHHELD: Final = "(its words are withheld: they may repeat what somebody sent)"


class RedactedFormatter(logging.Formatter):
    """The last thing that a line passes on its way into the log."""

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802  (logging calls it so)
        return "" if ei[1] is None else "\n".join(_told(ei[1]))


class WithoutQuery(logging.Filter):
    """For the log of requests: `GET /v1/audit?before=3` is `GET /v1/audit`."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_path(each) for each in record.args)
        return True


def without_secrets(line: str) -> str:
    return _BEARER.sub(r"\1(withheld)", _KEY.sub(r"\1_(withheld)", line))


def without_places(message: str, *, data: Path, all_: bool) -> str:
    """What a caller may read: the data folder has no place in it, and with `all_` no file has more than its name."""
    for place in sorted({str(data.absolute()), str(data.resolve())}, key=len, reverse=True):
        message = message.replace(place, DATA_FOLDER).replace(place.lstrip("/"), DATA_FOLDER)  # Lance leaves that out
    return _PLACE.sub(r"\1", message) if all_ else message


def problems_without_places(body: Any, *, data: Path) -> Any:
    """The same JSON, in which no text names the data folder's place."""
    if isinstance(body, str):
        return without_places(body, data=data, all_=False)
    if isinstance(body, dict):
        return {name: problems_without_places(each, data=data) for name, each in body.items()}
    if isinstance(body, list):
        return [problems_without_places(each, data=data) for each in body]
    return body


def _path(value: object) -> object:
    return value.partition("?")[0] if isinstance(value, str) and value.startswith("/") else value


def _told(error: BaseException) -> list[str]:
    """Causes first, as Python does; the frames are code of ours and of libraries, never values."""
    lines: list[str] = []
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        lines = [*_told(cause), "which led to"]
    frames = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__))
    return [
        *lines,
        "Traceback (most recent call last):",
        *(f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames),
        f"{type(error).__name__}: {_words(error)}",
    ]


def _words(error: BaseException) -> str:
    is_shown = isinstance(error, _OF_THE_MACHINE) and not isinstance(error, CallerError)
    return str(error) if is_shown else WITHHELD
