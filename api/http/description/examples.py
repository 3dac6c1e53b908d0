"""An example of every operation: a request, and what a real service answered (tests/openapi/record.py writes them)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).with_name("examples.json")


@cache
def examples() -> Mapping[str, Mapping[str, Any]]:
    """By operation, such as `POST /v1/search`."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def add_example(operation: dict[str, Any], method: str, path: str) -> None:
    """Show the example of this operation in its description."""
    shown = examples().get(f"{method.upper()} {path}")
    if shown is None:
        return
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in shown.get("parameters", {}):
            parameter["example"] = _typed(parameter["schema"], shown["parameters"][parameter["name"]])
    for media, body in shown.get("bodies", {}).items():
        operation["requestBody"]["content"][media]["example"] = body
    answered = operation["responses"].get(shown["status"], {}).get("content", {}).get(shown["media"])
    if answered is not None:
        answered["example"] = shown["answer"]


def _typed(schema: Mapping[str, Any], value: str) -> Any:
    """A value of a URL, which is text there, in the type of its schema."""
    kinds = [schema, *schema.get("anyOf", ())]
    if any(each.get("type") == "integer" for each in kinds):
        return int(value)
    return [value] if any(each.get("type") == "array" for each in kinds) else value
