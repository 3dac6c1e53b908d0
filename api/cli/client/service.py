"""A running service that the command line asks in place of a data folder: same answers, same errors, same exit codes.

The seam is the body of an answer. A command gets it from the service, or makes it from the data folder, and prints it;
what prints does not know where it comes from. What a service computes with is not imported: no model, no index, no
store.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from winnow.api.settings import Settings
from winnow.retrieval.errors import (
    InvalidRequest,
    KeyRefused,
    ServiceUnreachable,
    SettingInvalid,
    WinnowError,
    leaves,
    snake_case,
)
from winnow_client import Client, ConnectionFailed, InvalidAnswer
from winnow_client import DeadlineExceeded as NoAnswerInTime
from winnow_client import WinnowError as ClientError

SECONDS_MAX: Final = 660.0  # of one answer: a minute more than the longest time limit of a request
_UNKNOWN_ROUTE: Final = "not_found"
_KINDS: Final[Mapping[str, type[WinnowError]]] = {snake_case(each.__name__): each for each in leaves()}


class Service:
    """One service, with the key that it is asked under."""

    def __init__(self, url: str, *, key: str | None) -> None:
        """Raises `SettingInvalid` for a key that no header can carry."""
        self.url = url
        try:
            self.client = Client(url, key=key, timeout=SECONDS_MAX)
        except ValueError as error:
            raise SettingInvalid(str(error)) from error

    @classmethod
    def of(cls, settings: Settings) -> Service:
        """The service that the settings name."""
        assert settings.url is not None, "the command asks a data folder. This is a bug."
        return cls(settings.url, key=settings.api_key)

    def __del__(self) -> None:
        """Close the connections that are kept for the next request."""
        if hasattr(self, "client"):
            self.client.close()

    def get(self, *path: str, **params: str | int | None) -> Any:
        return self._ask("GET", path, params=params)

    def post(self, *path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._ask("POST", path, body=body)

    def put(self, *path: str, body: Mapping[str, Any]) -> Any:
        return self._ask("PUT", path, body=body)

    def patch(self, *path: str, body: Mapping[str, Any]) -> Any:
        return self._ask("PATCH", path, body=body)

    def delete(self, *path: str) -> Any:
        return self._ask("DELETE", path)

    @contextlib.contextmanager
    def asked(self) -> Iterator[Client]:
        """The client. Its errors become those that a data folder raises, with the service's own words."""
        try:
            yield self.client
        except ClientError as error:
            raise local_error(error, self.url) from error

    def _ask(self, method: str, path: tuple[str, ...], **what: Any) -> Any:
        with self.asked() as client:
            return client.request(method, "/".join(("/v1", *(quote(each, safe="") for each in path))), **what)


def local_error(error: ClientError, url: str) -> WinnowError:
    """Return the error that a data folder would raise: it decides the sentence and the exit code."""
    if isinstance(error, ConnectionFailed):
        reason = error.message.partition(": ")[2]
        return ServiceUnreachable(f"{url} does not answer ({reason}). Is it running, and is this its address?")
    if isinstance(error, InvalidAnswer | NoAnswerInTime):
        return ServiceUnreachable(error.message)
    if error.code == _UNKNOWN_ROUTE:
        return ServiceUnreachable(f"{url} does not know this request; its winnow may be older than this one")
    kind = _KINDS.get(error.code)
    if kind is None:
        is_caller = error.status is not None and error.status < 500
        return (InvalidRequest if is_caller else ServiceUnreachable)(f"{url}: {error.message}")
    found = kind()
    found.detail = error.message.removeprefix(f"{(inspect.getdoc(kind) or '').splitlines()[0].rstrip('.')}: ")
    if found.detail == kind().message:
        found.detail = ""
    if kind is KeyRefused:
        found.detail = "; ".join(filter(None, (found.detail, "pass --key, or set WINNOW_API_KEY")))
    return found
