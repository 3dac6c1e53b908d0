"""A problem as an HTTP response."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from winnow.api.http.problems import MEDIA_TYPE, Problem
from winnow.api.schemas.compat.tei import is_tei
from winnow.retrieval.tracing import request_id

_OVERLOADED: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_FAILED: Final = 500  # the first status that is the service's own fault


class Dialect(StrEnum):
    """Whose clients read a problem. One body serves most of them."""

    COMMON = "common"
    TEI = "tei"  # reads `error` as a text


class ProblemResponse(Response):
    """The response of every error, with the id of its request."""

    media_type = MEDIA_TYPE

    def __init__(
        self,
        problem: Problem,
        *,
        beside: Mapping[str, Any] = MappingProxyType({}),
        dialect: Dialect = Dialect.COMMON,
    ) -> None:
        """`beside` are additional fields of the route, for a refusal with more details."""
        body = problem_body(problem, request_id(), beside=beside, dialect=dialect)
        super().__init__(body, status_code=problem.status, headers=problem.headers)


def problem_body(
    problem: Problem,
    id_: str,
    *,
    beside: Mapping[str, Any] = MappingProxyType({}),
    dialect: Dialect = Dialect.COMMON,
) -> bytes:
    """Return the JSON body, also for answers below the framework."""
    body = {**beside, **problem.body(id_)}
    if dialect is Dialect.TEI:
        body |= {"error": problem.message, "error_type": _tei_type(problem.status)}
    return orjson.dumps(body)


def dialect_of(request: Request, body: object = None) -> Dialect:
    """The dialect of a request that failed. `body` is what was parsed of it, if it was refused for its fields."""
    if request.scope.get("path") == "/rerank" and is_tei(body):
        return Dialect.TEI
    named = getattr(request.state, "dialect", Dialect.COMMON)
    assert isinstance(named, Dialect), "only routes set it. This is a bug."
    return named


def _tei_type(status: HTTPStatus) -> str:
    """TEI's own name for a kind of error."""
    if status in _OVERLOADED:
        return "Overloaded"
    return "Backend" if status >= _FAILED else "Validation"
