"""Removes secrets from logs: no key, no query, no text, because more people read logs than data.

Rule 1: anything that looks like a winnow key keeps its id and loses its secret.
Rule 2: of a URL only the path is logged, never the query string.
Rule 3: for an unexpected error the log has its type and location; its message only if it is the system's (no memory, no
file), not if it may repeat a value that a caller sent.
"""

from __future__ import annotations

import logging
import re
import traceback
from pathlib import Path
from types import TracebackType
from typing import Final, TypeAlias, TypeVar, cast

from winnow.retrieval.errors import CallerError, WinnowError
from winnow.retrieval.files.s3_access import BucketRoot

Body = TypeVar("Body")
ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

_KEY: Final = re.compile(r"(wk_[0-9a-f]{12})_[0-9a-f]{16,}")
_SIGNING_SECRET: Final = re.compile(r"whsec_[\w-]{16,}")
_BEARER: Final = re.compile(r"(?i)(bearer\s+)(?!wk_)\S+")
_OF_THE_MACHINE: Final = (OSError, MemoryError, RuntimeError, WinnowError)
_PLACE: Final = re.compile(r"(?<![\w:/.)])(?:/[^/\s:'\"]+)+/([^/\s:'\"]+)")  # not URLs, and not relative paths
DATA_FOLDER: Final = "(data folder)"
WITHHELD: Final = "(message withheld: it may repeat what a caller sent)"


class RedactedFormatter(logging.Formatter):
    """The last step of a line on its way into the log."""

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802  (the name is logging's)
        return "" if ei[1] is None else "\n".join(_describe_error(ei[1]))


def without_secrets(line: str) -> str:
    return _SIGNING_SECRET.sub("whsec_(withheld)", _BEARER.sub(r"\1(withheld)", _KEY.sub(r"\1_(withheld)", line)))


def without_places(message: str, *, data: Path | BucketRoot, all_: bool) -> str:
    """Return what a caller may read: without the data folder's path, and with `all_` only names of files."""
    places = {str(data.absolute()), str(data.resolve())} if isinstance(data, Path) else {data.url}
    for place in sorted(places, key=len, reverse=True):
        message = message.replace(place, DATA_FOLDER).replace(
            place.lstrip("/"), DATA_FOLDER
        )  # Lance omits the leading slash
    return _PLACE.sub(r"\1", message) if all_ else message


def problems_without_places(body: Body, *, data: Path | BucketRoot) -> Body:
    """Return the same JSON without the data folder's path in any text."""
    return cast("Body", _without_places(body, data))


def _without_places(body: object, data: Path | BucketRoot) -> object:
    if isinstance(body, str):
        return without_places(body, data=data, all_=False)
    if isinstance(body, dict):
        return {name: _without_places(each, data) for name, each in body.items()}
    if isinstance(body, list):
        return [_without_places(each, data) for each in body]
    return body


def _describe_error(error: BaseException) -> list[str]:
    """Describe the error, causes first like Python; frames are our own or libraries' code, never values."""
    lines: list[str] = []
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        lines = [*_describe_error(cause), "which led to"]
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
