"""The OpenAPI description, completed with problems, the server's address, and authentication."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from winnow.api.http.description.examples import add_example
from winnow.api.http.methods import methods_of
from winnow.api.http.problems import MEDIA_TYPE
from winnow.api.http.scopes import MODELS_PATH, NEEDED, OPEN

BEARER: Final = "bearer"
PROBLEM: Final[dict[str, Any]] = {"schema": {"$ref": "#/components/schemas/ProblemBody"}}
TAGS: Final = {
    "search": "Search collections, in winnow's own shape and in those of other services.",
    "rerank": "Rank texts that the request holds.",
    "embeddings": "Vectors of texts, and the names of the models.",
    "vector stores": "Collections in the shape of OpenAI's vector stores.",
    "files": "Uploaded files, and the vector stores that they are attached to.",
    "mcp": "Tools for chatbots: the Model Context Protocol.",
    "judgments": "What people say of answers.",
    "collections": "Create, change and delete collections.",
    "documents": "Write, read and delete documents.",
    "instructions": "The library of instructions: what counts as relevant.",
    "shadows": "Try an instruction on live searches, without showing its order.",
    "generations": "Published indexes of a collection.",
    "stability": "Watch whether rankings move.",
    "usage": "What the tenant has used.",
    "keys": "API keys of the tenant.",
    "grants": "Let other tenants search a collection.",
    "audit": "Who changed what.",
    "tenants": "Tenants and their keys, for operators.",
    "limits": "Limits of tenants.",
    "health": "Whether the service is alive and ready, and its metrics.",
}
ANYWHERE: Final = {
    400: "The request is not valid HTTP",
    405: "The path does not support this method; see `Allow`",
    408: "The request did not arrive in time",
    431: "The request line and headers are too long",
    500: "Stored data or the service is faulty; the service's log has the details",
}  # possible for every path, before or regardless of its route


def describe(app: FastAPI) -> dict[str, Any]:
    """Build the description once, like FastAPI's own."""
    if app.openapi_schema is None:
        described = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        described["servers"] = [{"url": "/", "description": "The server of this description."}]
        named = {
            operation["tags"][0] for operations in described["paths"].values() for operation in operations.values()
        }
        described["tags"] = [{"name": name, "description": said} for name, said in TAGS.items() if name in named]
        described["components"]["securitySchemes"] = {
            BEARER: {"type": "http", "scheme": "bearer", "description": "An API key of winnow."}
        }
        for path, operations in described["paths"].items():
            for method, operation in operations.items():
                _complete(operation, path, is_open=_is_open(method, path))
                add_example(operation, method, path)
        app.openapi_schema = described
    return app.openapi_schema


def _is_open(method: str, path: str) -> bool:
    paths = (
        known.replace(":path", "")
        for (known_method, known), needed in NEEDED.items()
        if known_method == method.upper() and needed == OPEN
    )
    return path in paths


def _complete(operation: dict[str, Any], path: str, *, is_open: bool) -> None:
    operation["security"] = [] if is_open else [{BEARER: []}]
    answers = operation["responses"]
    for status, answer in answers.items():
        content = answer.get("content", {})
        if not status.startswith("2") and MEDIA_TYPE not in content and "application/json" in content:
            content[MEDIA_TYPE] = content.pop("application/json")
    for status, said in ANYWHERE.items():
        answers.setdefault(str(int(status)), {"description": said, "content": {MEDIA_TYPE: PROBLEM}})
    answers["405"]["headers"] = {"Allow": {"schema": {"type": "string"}}}
    if not methods_of(f"{path}/") or path == MODELS_PATH:  # a model's name is any path, but not an empty one
        answers["307"] = {
            "description": "The path ends with a slash; `Location` is the path without it",
            "headers": {"Location": {"schema": {"type": "string"}}},
        }
    operation["responses"] = dict(sorted(answers.items()))
