"""A problem, as HTTP sends it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import orjson
from starlette.responses import Response

from winnow.api.http.problems import MEDIA_TYPE, Problem


class ProblemResponse(Response):
    """The body of every error, with an id of its own."""

    media_type = MEDIA_TYPE

    def __init__(self, problem: Problem, *, beside: Mapping[str, Any] = MappingProxyType({})) -> None:
        """`beside` are fields of the route's own, where a refusal has more to say."""
        body = problem_body(problem, beside=beside)
        super().__init__(body, status_code=problem.status, headers=problem.headers)


def problem_body(problem: Problem, *, beside: Mapping[str, Any] = MappingProxyType({})) -> bytes:
    """The JSON of it, also for what is answered below the framework."""
    return orjson.dumps({**beside, **problem.body(f"req_{uuid.uuid4().hex}")})
