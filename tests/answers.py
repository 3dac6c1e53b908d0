"""Hold what the service answers against what its routes declare."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx2
import orjson
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.routing import Match
from starlette.testclient import TestClient

JSON = "application/json"


class CheckingClient(TestClient):
    """A test client that checks every JSON answer against the type that the answer's route declares."""

    def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        response = super().send(request, stream=stream, **options)
        if response.is_success and not stream and response.content and response.headers["content-type"] == JSON:
            declared = declared_answer(self.app, request.method, request.url.path)
            if declared is not None:
                check_answer(declared, response.json())
        return response


def check_answer(declared: Any, body: object) -> None:
    """Raises `ValidationError` unless this JSON has exactly the keys and types that the answer declares."""
    _adapter(declared).validate_json(orjson.dumps(body), strict=True)


def declared_answer(app: Any, method: str, path: str) -> Any:
    """None if the route declares no answer (/metrics) or is not one of ours (/openapi.json)."""
    scope = {"type": "http", "path": path, "method": method}
    matching = (each for each in routes_of(app) if isinstance(each, APIRoute) and each.matches(scope)[0] is Match.FULL)
    return next((each.response_model for each in matching), None)


def routes_of(holder: Any) -> Iterator[Any]:
    """The app's own table, included routers unfolded."""
    for route in holder.routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from routes_of(inner)


@cache
def _adapter(declared: Any) -> TypeAdapter[Any]:
    return TypeAdapter(declared)
