"""Every answer is what its route declares."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from tests.answers import CheckingClient
from winnow.api.http.routes.search import JsonResponse
from winnow.api.schemas.response import JsonObject


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
