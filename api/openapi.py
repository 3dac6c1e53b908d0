"""The OpenAPI description, with what the framework does not know: problems, where the service is, and who may ask."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.problems import MEDIA_TYPE
from api.scopes import NEEDED, OPEN

BEARER: Final = "bearer"


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
                _complete(operation, is_open=_is_open(method, path))
        app.openapi_schema = described
    return app.openapi_schema


def _is_open(method: str, path: str) -> bool:
    paths = (
        known for (known_method, known), needed in NEEDED.items() if known_method == method.upper() and needed == OPEN
    )
    return path in paths


def _complete(operation: dict[str, Any], *, is_open: bool) -> None:
    operation["security"] = [] if is_open else [{BEARER: []}]
    for status, answer in operation["responses"].items():
        content = answer.get("content", {})
        if status.startswith(("4", "5")) and "application/json" in content:
            content[MEDIA_TYPE] = content.pop("application/json")
