"""api/http/routes/late.py: routes that are made after the start, which no caller can tell."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import DOCUMENTS, parts_over
from winnow.api.http.app import create_app
from winnow.api.http.routes import late
from winnow.api.http.routes.late import LateRoutes
from winnow.retrieval.model.tokenizer import PlainTokenizer

NEVER = 3_600.0  # seconds
REQUESTS = (
    ("GET", "/v1/collections", None),
    ("POST", "/v1/search", {"query": "refund", "collection": "docs"}),
    ("GET", "/v1/search", None),  # a method that the path does not have
    ("GET", "/v1/nothing", None),
    ("POST", "/v1/collections/", {"name": "more"}),
    ("POST", "/v1/rerank", {"query": "refund", "documents": ["refund", "other"]}),
    ("GET", "/v1/models/unknown/model", None),
    ("GET", "/healthz", None),
    ("GET", "/openapi.json", None),
    ("GET", "/docs", None),
)


@pytest.fixture
def apps(tmp_path: Path, tokenizer: PlainTokenizer) -> tuple[FastAPI, FastAPI]:
    """A service with all routes from the start, and one without, over the same collection."""
    parts = parts_over(tmp_path, tokenizer, PrefersWord("refund"), api_key="secret")
    eager = create_app(parts)
    with client_of(eager) as client:
        assert client.post("/v1/collections", json={"name": "docs"}).status_code == 201
        assert client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS}).status_code == 200
    return eager, create_app(parts, late_routes=True)


def client_of(app: FastAPI) -> TestClient:
    return TestClient(app, headers={"authorization": "Bearer secret"}, follow_redirects=False)


def names(app: FastAPI) -> list[tuple[str, str]]:
    return [(type(route).__name__, str(getattr(route, "path", ""))) for route in app.routes]


def without_times(body: object) -> object:
    if not isinstance(body, dict):
        return body
    return {key: value for key, value in body.items() if key not in {"id", "timings_ms"}}


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS, ids=lambda each: each if isinstance(each, str) else "")
def test_a_request_that_comes_too_soon_is_answered_like_any_other(
    apps: tuple[FastAPI, FastAPI],
    method: str,
    path: str,
    body: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(late, "AFTER_SECONDS", NEVER)
    answers = []
    for app in apps:
        with client_of(app) as client:
            answers.append(client.request(method, path, json=body))
    eager, answered = answers
    assert answered.status_code == eager.status_code
    kind = eager.headers.get("content-type")
    assert answered.headers.get("content-type") == kind
    assert answered.headers.get("allow") == eager.headers.get("allow")
    if kind is not None and kind.endswith("json"):
        assert without_times(answered.json()) == without_times(eager.json())


def test_the_search_waits_for_no_other_route(apps: tuple[FastAPI, FastAPI], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late, "AFTER_SECONDS", NEVER)
    app = apps[1]
    with client_of(app) as client:
        assert client.post("/v1/search", json={"query": "refund", "collection": "docs"}).status_code == 200
        assert client.get("/healthz").status_code == 200
        assert isinstance(app.routes[0], LateRoutes)
        assert client.get("/v1/collections").status_code == 200
        assert not any(isinstance(route, LateRoutes) for route in app.routes)


def test_all_routes_are_made_without_a_request_in_the_same_order(apps: tuple[FastAPI, FastAPI]) -> None:
    """The description lists them in this order, and the first that matches answers."""

    async def wait() -> None:
        async with apps[1].state.late_routes.running():
            while isinstance(apps[1].routes[0], LateRoutes):
                await asyncio.sleep(0.01)

    asyncio.run(wait())
    assert names(apps[1]) == names(apps[0])
