"""What a call can raise: one tree, a class for each kind of failure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

REQUEST_ID: Final = "x-request-id"
_SAID_CHARACTERS_MAX: Final = 300  # of an answer that is no problem body


class WinnowError(Exception):
    """A call failed.

    `code` is stable, for programs to branch on; `status` is that of HTTP, None where no answer arrived; `request_id`
    names the request in the service's log; `retry_after` is how many seconds the service asks to wait; `body` is the
    whole answer, with fields such as `rejected`.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int | None = None,
        request_id: str | None = None,
        param: str | None = None,
        limit: str | None = None,
        retry_after: float | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.request_id = request_id
        self.param = param
        self.limit = limit
        self.retry_after = retry_after
        self.body: Mapping[str, Any] = {} if body is None else body


class ConnectionFailed(WinnowError):
    """There was no connection, or it ended before the answer."""


class DeadlineExceeded(WinnowError):
    """The call took longer than its timeout, its retries included."""


class InvalidAnswer(WinnowError):
    """What answered is not a winnow service: it redirects, or its answer is no JSON or damaged."""


class InvalidRequest(WinnowError):
    """The service refuses the request as it is: 400, 408, 413, 415, 422 and the like. `param` names the field."""


class AuthenticationFailed(WinnowError):
    """401: the key is missing, wrong, expired or revoked."""


class PermissionDenied(WinnowError):
    """403: the key lacks the scope, or the tenant's storage is full; then `limit` names the limit."""


class NotFound(WinnowError):
    """404: no such collection, document, instruction or route."""


class Conflict(WinnowError):
    """409: the current state does not allow this, for example because the name is taken."""


class RateLimited(WinnowError):
    """429: the tenant has used up a quota. `limit` names it, `retry_after` says when to come back."""


class Unavailable(WinnowError):
    """502, 503, 504: overloaded, starting, or a model does not answer. The same call may work later."""


class ServerError(WinnowError):
    """500, 507 and the like: stored data or the service is faulty. Its log has the details under `request_id`."""


_KINDS: Final[Mapping[int, type[WinnowError]]] = {
    401: AuthenticationFailed,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def error_of(status: int, headers: Mapping[str, str], content: bytes, *, retry_after: float | None) -> WinnowError:
    """Return the error for a refusal, also for one by a proxy in between, whose body can be anything."""
    body = _object(content)
    said = body.get("error")
    error = said if isinstance(said, Mapping) else {}
    message = _first_text(body.get("detail"), body.get("message"), error.get("message"), said)
    if 300 <= status < 400:
        message = f"the server redirects to {headers.get('location')}; give that address, redirects are not followed"
    kind = _KINDS.get(status, _kind_of(status))
    return kind(
        message or _cut(content, status),
        code=_first_text(error.get("code")) or f"http_{status}",
        status=status,
        request_id=_first_text(body.get("id")) or headers.get(REQUEST_ID),
        param=_first_text(error.get("param")),
        limit=_first_text(body.get("limit")),
        retry_after=retry_after,
        body=body,
    )


def _kind_of(status: int) -> type[WinnowError]:
    if status < 400:
        return InvalidAnswer
    return InvalidRequest if status < 500 else ServerError


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _first_text(*values: object) -> str | None:
    return next((value for value in values if isinstance(value, str) and value), None)


def _cut(content: bytes, status: int) -> str:
    text = " ".join(content.decode("utf-8", errors="replace").split())[:_SAID_CHARACTERS_MAX]
    return f"the server answered {status}: {text}" if text else f"the server answered {status} without a text"
