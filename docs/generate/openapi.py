"""The OpenAPI description of all routes, without models, data or a running service."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from winnow.api.http.description.openapi import describe
from winnow.api.http.routes.routers import ROUTERS


def described() -> dict[str, Any]:
    """As `GET /openapi.json` answers."""
    app = FastAPI(title="winnow", version="0", docs_url=None, redoc_url=None)
    for router in ROUTERS:
        app.include_router(router)
    return describe(app)
