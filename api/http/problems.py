"""Maps errors to HTTP statuses and bodies. The only module that knows both.

One body serves existing clients (verified by running them): OpenAI's reads `error`, Voyage's and Jina's read `detail`,
Cohere's the whole body; the rest is RFC 9457.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from winnow.api.fields import describe_fields, path_of
from winnow.retrieval import errors

MEDIA_TYPE: Final = "application/problem+json"
LIMIT_HEADER: Final = "X-Winnow-Limit"
REQUEST_ID_HEADER: Final = "X-Request-Id"
RETRY_AFTER_SECONDS: Final = 1  # about the time of a search; longer would leave the service idle

STATUS: Final[Mapping[type[errors.WinnowError], HTTPStatus]] = {
    errors.InvalidRequest: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.LimitExceeded: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.RequestSlow: HTTPStatus.REQUEST_TIMEOUT,
    errors.UnsupportedMedia: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.QuotaExceeded: HTTPStatus.TOO_MANY_REQUESTS,
    errors.StorageQuotaExceeded: HTTPStatus.FORBIDDEN,
    errors.CollectionNotFound: HTTPStatus.NOT_FOUND,
    errors.CollectionExists: HTTPStatus.CONFLICT,
    errors.FolderUnknown: HTTPStatus.CONFLICT,
    errors.CollectionNotReady: HTTPStatus.CONFLICT,
    errors.WordsNotIndexed: HTTPStatus.CONFLICT,
    errors.DocumentNotFound: HTTPStatus.NOT_FOUND,
    errors.FileNotFound: HTTPStatus.NOT_FOUND,
    errors.SearchNotFound: HTTPStatus.NOT_FOUND,
    errors.JudgmentsFull: HTTPStatus.CONFLICT,
    errors.InstructionNotFound: HTTPStatus.NOT_FOUND,
    errors.InstructionConflict: HTTPStatus.CONFLICT,
    errors.InstructionUnsupported: HTTPStatus.CONFLICT,
    errors.VariableRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NotCalibrated: HTTPStatus.CONFLICT,
    errors.SnapshotNotFound: HTTPStatus.NOT_FOUND,
    errors.SnapshotExists: HTTPStatus.CONFLICT,
    errors.TenantNotFound: HTTPStatus.NOT_FOUND,
    errors.TenantExists: HTTPStatus.CONFLICT,
    errors.KeyNotFound: HTTPStatus.NOT_FOUND,
    errors.GrantNotFound: HTTPStatus.NOT_FOUND,
    errors.GoldenSetNotFound: HTTPStatus.NOT_FOUND,
    errors.RunNotFound: HTTPStatus.NOT_FOUND,
    errors.CatalogExists: HTTPStatus.CONFLICT,
    errors.CatalogMismatch: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.KeyRefused: HTTPStatus.UNAUTHORIZED,
    errors.NotPermitted: HTTPStatus.FORBIDDEN,
    errors.CorpusUnreadable: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ModelNotFound: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.ModelUnusable: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.ModelMismatch: HTTPStatus.CONFLICT,
    errors.AddressInUse: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.SettingInvalid: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.RerankTimeout: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.RerankOverloaded: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.RerankUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.RerankBreakerOpen: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.EmbedderUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
    errors.Overloaded: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.SnapshotUnreachable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.CollectionBusy: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.WriterSuperseded: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.CatalogUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StorageMoved: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ServiceUnreachable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.MemoryTooSmall: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DeviceUnusable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.GenerationCorrupt: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.StoreCorrupt: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.SnapshotCorrupt: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.WriteFailed: HTTPStatus.INSUFFICIENT_STORAGE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """The description of a failed request for its caller."""

    status: HTTPStatus
    code: str  # snake case, stable: programs branch on it
    message: str
    param: str | None = None  # path of the faulty field, with dots, or the limit
    limit: str | None = None  # name of the tenant's limit that was reached
    retry_after_seconds: int | None = None  # if known

    @property
    def headers(self) -> dict[str, str]:
        named = {} if self.limit is None else {LIMIT_HEADER: self.limit}
        if self.retry_after_seconds is not None:
            return {"Retry-After": str(self.retry_after_seconds), **named}
        if named:
            return named
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            return {"Retry-After": str(RETRY_AFTER_SECONDS)}
        if self.status == HTTPStatus.UNAUTHORIZED:
            return {"WWW-Authenticate": "Bearer"}
        return {}

    def body(self, request_id: str) -> dict[str, Any]:
        kind = "invalid_request_error" if self.status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
        named = {} if self.limit is None else {"limit": self.limit}
        return named | {
            "type": f"urn:winnow:problem:{self.code}",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.message,
            "message": self.message,
            "error": {"message": self.message, "type": kind, "param": self.param, "code": self.code},
            "id": request_id,
        }


def problem_of(error: errors.WinnowError, *, param: str | None = None) -> Problem:
    """Return the problem of one of our own errors."""
    kind = type(error)
    limit = error.limit if isinstance(error, errors.QuotaExceeded | errors.StorageQuotaExceeded) else None
    field = error.param if isinstance(error, errors.InvalidRequest) else None
    return Problem(
        status=STATUS[kind],
        code=code_of(kind),
        message=error.message,
        param=param or field or limit,
        limit=limit,
        retry_after_seconds=error.retry_after_seconds if isinstance(error, errors.QuotaExceeded) else None,
    )


def problem_of_status(status: int, detail: str) -> Problem:
    """Return the problem of a refusal by the framework: no such route, no such method."""
    known = HTTPStatus(status)
    return Problem(status=known, code=known.name.lower(), message=detail)


def problem_of_fields(refused: list[Mapping[str, Any]]) -> Problem:
    """Return the problem of a body with wrong fields, each named (from pydantic's list of errors)."""
    return Problem(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        code=code_of(errors.InvalidRequest),
        message=errors.InvalidRequest(describe_fields(refused)).message,
        param=path_of(refused[0]["loc"]) or None,
    )


def code_of(kind: type[errors.WinnowError]) -> str:
    """`CollectionNotFound` -> `collection_not_found`."""
    return errors.snake_case(kind.__name__)
