"""Hold what the service answers against what its routes declare, and what the OpenAPI description says."""

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

from tests.openapi.description import check_described

JSON = "application/json"


class CheckingClient(TestClient):
    """A test client that checks every JSON answer against the type that the answer's route declares."""

    def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        response = super().send(request, stream=stream, **options)
        if response.is_success and not stream and response.content and response.headers["content-type"] == JSON:
            route = matched_route(self.app, request.method, request.url.path)
            if route is not None and route.response_model is not None:
                check_answer(route.response_model, response.json())
        return response


class DescribedClient(CheckingClient):
    """A test client that also checks every answer, refusals included, against the OpenAPI description."""

    def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        response = super().send(request, stream=stream, **options)
        route = matched_route(self.app, request.method, request.url.path)
        if route is not None and route.include_in_schema and not stream and response.content:
            media = response.headers["content-type"].partition(";")[0]
            body = response.json() if media.endswith("json") else None
            check_described(request.method, route.path, status=response.status_code, media=media, body=body)
        return response


def check_answer(declared: Any, body: object) -> None:
    """Raises `ValidationError` unless this JSON has exactly the keys and types that the answer declares."""
    _adapter(declared).validate_json(orjson.dumps(body), strict=True)


def matched_route(app: Any, method: str, path: str) -> APIRoute | None:
    """Return the route that answers; None if it is not one of ours (/openapi.json)."""
    scope = {"type": "http", "path": path, "method": method}
    matching = (each for each in routes_of(app) if isinstance(each, APIRoute) and each.matches(scope)[0] is Match.FULL)
    return next(matching, None)


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
