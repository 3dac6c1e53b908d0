"""The generated modules of the Python client are what the code makes, and each answer of the service fits its type."""

from __future__ import annotations

import ast
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from docs.generate import python_types, sync_client
from docs.generate.__main__ import COMMAND
from docs.generate.openapi import described
from docs.generate.python_client import MODULES, written
from docs.generate.sync_client import PACKAGE, SOURCE
from winnow_client import schemas


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_what_the_code_makes(name: str) -> None:
    """It is generated, never edited."""
    committed = (PACKAGE / name).read_text(encoding="utf-8")
    assert committed == written(name), f"{name} differs from the code. Run `{COMMAND}` and commit it"


def test_the_two_clients_have_the_same_methods() -> None:
    """With the same arguments; only closing is named otherwise."""

    def methods(text: str) -> dict[str, str]:
        (made,) = [each for each in ast.parse(text).body if isinstance(each, ast.ClassDef)]
        functions = [each for each in made.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
        return {each.name: ast.unparse(each.args) for each in functions if not each.name.startswith("__")}

    asynchronous = methods(SOURCE.read_text(encoding="utf-8"))
    synchronous = methods((PACKAGE / "client.py").read_text(encoding="utf-8"))
    synchronous["aclose"] = synchronous.pop("close")
    iterable = "documents: Iterable[SentDocument]"
    either = "documents: Iterable[SentDocument] | AsyncIterable[SentDocument]"
    synchronous["write"] = synchronous["write"].replace(iterable, either)
    assert synchronous == asynchronous
    assert "async" not in ast.unparse(ast.parse(sync_client.module())).partition("class Client")[2].replace(
        "asynchronous", ""
    )


def test_every_schema_is_a_type_with_its_fields() -> None:
    """Required where the description says so."""
    described_schemas = python_types.schemas_in_use(described())
    assert len(described_schemas) > 100
    for name, schema in described_schemas.items():
        made = getattr(schemas, name)
        if "properties" in schema:
            assert set(get_type_hints(made)) == set(schema["properties"])
            assert made.__required_keys__ == frozenset(schema.get("required", ()))
        else:
            assert get_origin(made) is not None or made is str, name


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "integer"}, "int"),
        ({"anyOf": [{"type": "null"}, {"$ref": "#/components/schemas/Depth"}]}, "Depth | None"),
        ({"type": "array", "items": {"type": "string"}}, "list[str]"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "dict[str, float]"),
        ({"enum": ["a", "b"]}, 'Literal["a", "b"]'),
        ({"type": "boolean", "const": False}, "Literal[False]"),
        ({"type": ["string", "null"]}, "str | None"),
        ({"anyOf": [{}, {"type": "string"}]}, "Any"),
        ({}, "Any"),
    ],
)
def test_a_schema_becomes_a_type(schema: dict[str, Any], kind: str) -> None:
    assert python_types._kind(schema, python_types._ANSWERED) == kind


def test_fields_that_are_no_names_and_circles_are_known() -> None:
    """Otherwise the module could not be imported."""
    fields = {"properties": {"from": {"type": "string"}, "to": {"type": "string"}}, "required": ["from"]}
    text = python_types._definition("Span", fields, python_types._ANSWERED)
    assert text == 'Span = TypedDict("Span", {"from": str, "to": NotRequired[str]})\n'
    one, other = ({"properties": {"next": {"$ref": f"#/components/schemas/{name}"}}} for name in ("B", "A"))
    with pytest.raises(ValueError, match="A -> B -> A is a circle"):
        python_types._in_order({"A": one, "B": other})
    assert get_args(schemas.RecallMode)
