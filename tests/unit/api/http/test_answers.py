"""Every answer is what its route declares."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError

from tests.answers import CheckingClient, routes_of
from tests.openapi.description import check_described
from winnow.api.http.routes.routers import ROUTERS
from winnow.api.http.routes.search import JsonResponse
from winnow.api.schemas.response import JsonObject

UNDECLARED = {"/metrics", "/v1/instructions/export"}


class Counted(JsonObject):
    """An answer of this test."""

    count: int


@pytest.mark.parametrize("body", [{"count": 1, "more": 2}, {}, {"count": "1"}, {"count": None}])
def test_the_client_of_the_tests_notices_a_wrong_answer(body: dict[str, Any]) -> None:
    """A key too many, one too few, another type: mypy refuses all of them, if nothing is cast or ignored."""
    app = FastAPI()

    @app.get("/count", response_model=Counted)
    async def count() -> JsonResponse:
        return JsonResponse(body)

    with pytest.raises(ValidationError):
        CheckingClient(app).get("/count")


def declared() -> dict[str, Any]:
    routes = [each for router in ROUTERS for each in routes_of(router) if isinstance(each, APIRoute)]
    return {f"{next(iter(each.methods))} {each.path}": each.response_model for each in routes}


@pytest.mark.parametrize("route", sorted(route for route in declared() if route.split()[1] not in UNDECLARED))
def test_a_route_declares_a_closed_object(route: str) -> None:
    """OpenAPI lists every key, and a client may rely on there being no other."""
    schema = TypeAdapter(declared()[route]).json_schema(mode="serialization")
    objects = [schema, *schema.get("$defs", {}).values()]
    assert all(each["additionalProperties"] is False for each in objects if each.get("type") == "object")


@pytest.mark.parametrize(
    ("status", "media", "body", "said"),
    [
        (200, "application/json", {"status": "ok"}, "version"),
        (200, "text/plain", None, "text/plain"),
        (418, "application/json", {}, "418"),
    ],
)
def test_an_answer_that_is_not_as_described_is_noticed(status: int, media: str, body: object, said: str) -> None:
    """A field that is missing, another kind of body, another status: the types of clients would be wrong."""
    with pytest.raises(AssertionError, match=said):
        check_described("GET", "/healthz", status=status, media=media, body=body)


def test_problems_are_described_without_a_model_for_each_route() -> None:
    """pydantic made 1,400 of them at every start, of one and the same body."""
    routes = [each for router in ROUTERS for each in routes_of(router) if isinstance(each, APIRoute)]
    assert {route.path for route in routes if len(route.response_fields) > 1} == {"/rerank"}  # which has two dialects
    assert all("404" in map(str, route.responses) for route in routes if route.path.startswith("/v1/collections"))
