"""The types of the Python client: the service's OpenAPI description as TypedDicts."""

from __future__ import annotations

import keyword
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from docs.generate.openapi import described
from docs.generate.schemas import LEFT_OUT, REFERENCE, references, schemas_in_use

HEAD: Final = '''"""What the service takes and answers, as types. Written by `python -m docs.generate` from the service's OpenAPI."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

'''
PLAIN: Final = {"string": "str", "boolean": "bool", "integer": "int", "number": "float", "null": "None"}
WIDTH: Final = 116
ALIASES: Final = frozenset({"model", "instruct", "chat_template_kwargs", "rank_fields", "top_k", "raw_scores"})
OPTIONS: Final[Mapping[str, tuple[str, frozenset[str]]]] = {  # the keyword arguments of a method: a body without some
    "SearchOptions": ("CollectionSearchBody", frozenset({"query"})),
    "RerankOptions": ("RerankBody", ALIASES | {"query", "documents"}),
    "CollectionOptions": ("CollectionBody", frozenset({"name"})),
    "CollectionChanges": ("CollectionChange", frozenset()),
    "InstructionOptions": ("PublishBody", frozenset({"name", "text"})),
    "TrialOptions": ("TrialBody", frozenset({"query", "collection", "versions"})),
}
Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Side:
    """How lists and objects are named: what is sent may be any sequence, what arrives is a list."""

    sequence: str
    mapping: str


_SENT: Final = _Side("Sequence", "Mapping")
_ANSWERED: Final = _Side("list", "dict")


def module() -> str:
    """Return the source text, before it is formatted."""
    description = described()
    schemas = schemas_in_use(description)
    answered = _answered(description)
    parts = [_definition(name, schemas[name], _ANSWERED if name in answered else _SENT) for name in _in_order(schemas)]
    parts += [_options(name, schemas[body], without) for name, (body, without) in OPTIONS.items() if body in schemas]
    return HEAD + "\n\n".join(parts)


def _answered(description: Schema) -> set[str]:
    """Return the names of the schemas that a successful answer may hold."""
    paths = {
        path: {method: {"responses": operation["responses"]} for method, operation in methods.items()}
        for path, methods in description["paths"].items()
    }
    return set(schemas_in_use({"paths": paths, "components": description["components"]}))


def _in_order(schemas: Mapping[str, Schema]) -> Sequence[str]:
    """Return the names so that each is defined before it is used. Raises `ValueError` for a circle."""
    ordered: dict[str, None] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"{' -> '.join((*above, name))} is a circle, which these types cannot express")
        if name in schemas and name not in ordered:
            for other in sorted(set(references(schemas[name]))):
                visit(other, (*above, name))
            ordered[name] = None

    for name in schemas:
        visit(name, ())
    return tuple(ordered)


def _definition(name: str, schema: Schema, side: _Side) -> str:
    if "properties" not in schema:
        return f"{name}: TypeAlias = {_kind({**schema, 'description': ''}, side)}\n"
    needed = frozenset(schema.get("required", ()))
    fields = {key: (each, key in needed) for key, each in schema["properties"].items()}
    if all(_is_name(key) for key in fields):
        return _class(name, schema.get("description", ""), fields, side)
    items = ", ".join(
        f'"{key}": {_kind(each, side) if must else f"NotRequired[{_kind(each, side)}]"}'
        for key, (each, must) in fields.items()
    )
    return f'{name} = TypedDict("{name}", {{{items}}})\n'


def _options(name: str, body: Schema, without: frozenset[str]) -> str:
    fields = {key: (each, True) for key, each in body["properties"].items() if key not in without}
    return _class(name, "Keyword arguments; what is left out is left to the service.", fields, _SENT, total=False)


def _class(name: str, said: str, fields: Mapping[str, tuple[Schema, bool]], side: _Side, *, total: bool = True) -> str:
    head = f"class {name}(TypedDict{'' if total else ', total=False'}):\n"
    lines = list(_text(said))
    for key, (schema, must) in fields.items():
        kind = _kind(schema, side)
        lines.append(f"    {key}: {kind if must else f'NotRequired[{kind}]'}\n")
        lines.extend(_text(schema.get("description", "")))
    return head + ("".join(lines) or "    pass\n")


def _text(said: str) -> Iterator[str]:
    """Yield the lines of a docstring; backslashes and quotes cannot end it."""
    words = " ".join(said.split()).replace("\\", "\\\\").replace('"""', "'''")
    if not words:
        return
    lines = textwrap.wrap(f'"""{words}', WIDTH - 6, break_long_words=False, break_on_hyphens=False)
    closed = ' """' if words.endswith('"') else '"""'
    yield from (f"    {line}\n" for line in lines[:-1])
    yield f"    {lines[-1]}{closed}\n"


def _kind(schema: Schema, side: _Side) -> str:
    if "$ref" in schema:
        name = str(schema["$ref"]).removeprefix(REFERENCE)
        return "dict[str, Any]" if name in LEFT_OUT else name
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return _union([_kind(each, side) for each in schema[several]])
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return f"Literal[{', '.join(_literal(value) for value in values)}]"
    return _of_type(schema, side)


def _of_type(schema: Schema, side: _Side) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return _union([_kind({**schema, "type": each}, side) for each in kind])
    if kind == "array":
        return f"{side.sequence}[{_kind(schema.get('items', {}), side)}]"
    if kind == "object":
        extra = schema.get("additionalProperties")
        value = _kind(extra, side) if isinstance(extra, Mapping) and extra else "Any"
        return f"{side.mapping}[str, {value}]"
    return PLAIN.get(str(kind), "Any")


def _union(kinds: list[str]) -> str:
    different = list(dict.fromkeys(kinds))
    if "Any" in different:
        return "Any"
    different.sort(key=lambda kind: kind == "None")
    return " | ".join(different)


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _is_name(key: str) -> bool:
    return re.fullmatch(r"[A-Za-z_]\w*", key) is not None and not keyword.iskeyword(key)
