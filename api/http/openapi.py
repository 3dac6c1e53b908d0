"""The OpenAPI description, with what the framework does not know: problems, where the service is, and who may ask."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from winnow.api.http.methods import methods_of
from winnow.api.http.problems import MEDIA_TYPE
from winnow.api.http.scopes import NEEDED, OPEN

BEARER: Final = "bearer"
PROBLEM: Final[dict[str, Any]] = {"schema": {"$ref": "#/components/schemas/ProblemBody"}}
ANYWHERE: Final = {
    400: "The request is not HTTP",
    405: "The path does not have this method; `Allow` names those that it has",
    408: "The request did not arrive in time",
    431: "The line and the headers of the request are too long",
    500: "Something is wrong with what is stored, or with the service; its log says more",
}  # answered for every path, before or whatever its route does


def describe(app: FastAPI) -> dict[str, Any]:
    """Made once, as FastAPI's own is."""
    if app.openapi_schema is None:
        described = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        described["servers"] = [{"url": "/", "description": "where this description comes from"}]
        described["components"]["securitySchemes"] = {
            BEARER: {"type": "http", "scheme": "bearer", "description": "An API key of winnow."}
        }
        for path, operations in described["paths"].items():
            for method, operation in operations.items():
                _complete(operation, path, is_open=_is_open(method, path))
        app.openapi_schema = described
    return app.openapi_schema


def _is_open(method: str, path: str) -> bool:
    paths = (
        known for (known_method, known), needed in NEEDED.items() if known_method == method.upper() and needed == OPEN
    )
    return path in paths


def _complete(operation: dict[str, Any], path: str, *, is_open: bool) -> None:
    operation["security"] = [] if is_open else [{BEARER: []}]
    answers = operation["responses"]
    for answer in answers.values():
        content = answer.get("content", {})
        if content.get("application/json") == PROBLEM:
            content[MEDIA_TYPE] = content.pop("application/json")
    for status, said in ANYWHERE.items():
        answers.setdefault(str(int(status)), {"description": said, "content": {MEDIA_TYPE: PROBLEM}})
    answers["405"]["headers"] = {"Allow": {"schema": {"type": "string"}}}
    if not methods_of(f"{path}/"):
        answers["307"] = {
            "description": "The path ends with a slash; `Location` is the path without it",
            "headers": {"Location": {"schema": {"type": "string"}}},
        }
    operation["responses"] = dict(sorted(answers.items()))
