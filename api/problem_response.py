"""A problem, as HTTP sends it."""

from __future__ import annotations

import uuid

import orjson
from starlette.responses import Response

from api.problems import MEDIA_TYPE, Problem


class ProblemResponse(Response):
    """The body of every error, with an id of its own."""

    media_type = MEDIA_TYPE

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem_body(problem), status_code=problem.status, headers=problem.headers)


def problem_body(problem: Problem) -> bytes:
    """The JSON of it, also for what is answered below the framework."""
    return orjson.dumps(problem.body(f"req_{uuid.uuid4().hex}"))
