"""A problem as an HTTP response."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import orjson
from starlette.responses import Response

from winnow.api.http.problems import MEDIA_TYPE, Problem
from winnow.retrieval.tracing import request_id


class ProblemResponse(Response):
    """The response of every error, with the id of its request."""

    media_type = MEDIA_TYPE

    def __init__(self, problem: Problem, *, beside: Mapping[str, Any] = MappingProxyType({})) -> None:
        """`beside` are additional fields of the route, for a refusal with more details."""
        body = problem_body(problem, request_id(), beside=beside)
        super().__init__(body, status_code=problem.status, headers=problem.headers)


def problem_body(problem: Problem, id_: str, *, beside: Mapping[str, Any] = MappingProxyType({})) -> bytes:
    """Return the JSON body, also for answers below the framework."""
    return orjson.dumps({**beside, **problem.body(id_)})
