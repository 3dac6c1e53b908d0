"""JSON schemas as types and tables that a person reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from docs.generate.markdown import anchor, code, table

REFERENCE: Final = "#/components/schemas/"
LEFT_OUT: Final = frozenset(
    {"ProblemBody", "TextsProblem", "HTTPValidationError", "ValidationError"}
)  # errors.md has the body
PLAIN: Final = {
    "string": "text",
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "null": "null",
}
FORMATS: Final = {"date-time": "date and time (RFC 3339)", "date": "date (YYYY-MM-DD)"}
BOUNDS: Final = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "more than {}"),
    ("maximum", "at most {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {}"),
    ("maxItems", "at most {}"),
    ("pattern", "`{}`"),
)
Schema = Mapping[str, Any]


def schemas_in_use(description: Schema) -> dict[str, Schema]:
    """The named schemas that a body or an answer refers to, directly or through another one, by name."""
    schemas = description["components"]["schemas"]
    waiting, used = list(references(description["paths"])), set()
    while waiting:
        name = waiting.pop()
        if name not in used:
            used.add(name)
            waiting.extend(references(schemas[name]))
    return {name: schemas[name] for name in sorted(used - LEFT_OUT)}


def fields_table(schema: Schema) -> str:
    """The fields of an object, or the values of a list of choices."""
    if "enum" in schema:
        return f"One of {', '.join(code(value) for value in schema['enum'])}.\n\n"
    required = schema.get("required", ())
    rows = (_field(name, each, is_required=name in required) for name, each in schema.get("properties", {}).items())
    return table(("Field", "Type", "Default", "Meaning"), rows) + "\n"


def kind_of(schema: Schema) -> str:
    """The type of a value, with its bounds; a named schema is a link."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(REFERENCE)
        return f"[{name}](#{anchor(name)})"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(kind_of(each) for each in schema[several]))
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(code(value) for value in values)
    return _named(schema) + _bounds(schema)


def _named(schema: Schema) -> str:
    kind = schema.get("type")
    if kind == "array":
        return f"list of {kind_of(schema.get('items', {}))}"
    if kind == "object":
        extra = schema.get("additionalProperties")
        return f"object of {kind_of(extra)}" if isinstance(extra, Mapping) and extra else "object"
    if isinstance(kind, list):
        return " or ".join(PLAIN.get(str(each), str(each)) for each in kind)
    return FORMATS.get(schema.get("format", ""), PLAIN.get(str(kind), "any value"))


def _bounds(schema: Schema) -> str:
    said = [words.format(_number(schema[key])) for key, words in BOUNDS if key in schema]
    return f" ({', '.join(said)})" if said else ""


def _number(value: object) -> str:
    return f"{value:,g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _field(name: str, schema: Schema, *, is_required: bool) -> tuple[str, str, str, str]:
    default = "required" if is_required else _default(schema)
    return code(name), kind_of(schema), default, schema.get("description", "")


def _default(schema: Schema) -> str:
    value = schema.get("default")
    return "" if value is None else code(str(value).lower() if isinstance(value, bool) else value)


def references(node: object) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].removeprefix(REFERENCE)
        for each in node.values():
            yield from references(each)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)
