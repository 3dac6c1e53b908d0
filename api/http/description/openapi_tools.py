"""A small OpenAPI description for agents: what reads, and nothing that changes or deletes.

Platforms turn each operation of a description into a tool. The whole one would give them seventy, some of which revoke
keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

TOOLS: Final[Mapping[tuple[str, str], str]] = {  # and the names of the tools
    ("post", "/v1/search"): "search",
    ("get", "/v1/collections/{name}/documents/{document_id}"): "fetch",
    ("post", "/v1/rerank"): "rerank",
    ("get", "/v1/collections"): "list_collections",
}
_SHOWN: Final = ("200", "401", "404", "422", "503")  # statuses; more would only fill a model's context
_REFERENCE: Final = re.compile(r'"#/components/schemas/([^"]+)"')


def describe_tools(described: Mapping[str, Any], *, server: str) -> dict[str, Any]:
    """Take the operations of tools out of the whole description, with the schemas that they need.

    `server` is the address under which the caller reached the service: some platforms do not resolve a relative one.
    """
    paths: dict[str, Any] = {}
    for (method, path), name in TOOLS.items():
        operation = described["paths"][path][method]
        answers = {
            status: _without_example(answer) for status, answer in operation["responses"].items() if status in _SHOWN
        }
        paths.setdefault(path, {})[method] = operation | {"operationId": name, "responses": answers}
    schemas = described["components"]["schemas"]
    needed: dict[str, Any] = {}
    waiting = _named(paths)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = schemas[name]
            waiting |= _named(schemas[name])
    return {
        "openapi": described["openapi"],
        "info": {"title": "winnow", "version": described["info"]["version"], "description": "Search for agents."},
        "servers": [{"url": server}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(needed.items())),
            "securitySchemes": described["components"]["securitySchemes"],
        },
    }


def _without_example(answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer as a model needs it: the schema says enough."""
    content = {
        media: {name: value for name, value in said.items() if name != "example"}
        for media, said in answer.get("content", {}).items()
    }
    return {**answer, "content": content}


def _named(part: Any) -> set[str]:
    return set(_REFERENCE.findall(json.dumps(part)))
