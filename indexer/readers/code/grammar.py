"""What counts as a function, a class or a leading comment in each language."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final

import tree_sitter
from tree_sitter import Node, TreeCursor

from winnow.indexer.readers.code.languages import (
    BASH,
    C_SHARP,
    CPP,
    GO,
    JAVA,
    JAVASCRIPT,
    PHP,
    PYTHON,
    RUBY,
    RUST,
    TSX,
    TYPESCRIPT,
    C,
    Language,
)

PARSE_SECONDS_MAX: Final = 10.0  # of processor time; 16 MB of ordinary code take 3
NAME_CHARACTERS_MAX: Final = 200
_SLICE_BYTES: Final = 1 << 16
_STEPS_MAX: Final = 64  # nested declarators or receivers around one name
_GENERICS: Final = re.compile(r"<[^<>]*>|\[[^\[\]]*\]")

_TYPE_ALIASES: Final = frozenset({"type_definition", "type_alias_declaration"})

Naming = Callable[[Node], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinds:
    """Names of a grammar's nodes."""

    functions: Mapping[str, Naming]
    containers: Mapping[str, Naming]
    wrappers: frozenset[str] = frozenset()  # around one definition, and part of it: decorators, `export`, `template`
    leads: frozenset[str] = frozenset({"comment"})  # belong to the definition below them

    @property
    def short(self) -> frozenset[str]:
        """Functions, which count even if they are one line; a type of one line does not."""
        return frozenset(self.functions) - _TYPE_ALIASES


def parse_tree(language: Language, content: bytes) -> TreeCursor | None:
    """Parse UTF-8 text; None if it takes too long, as texts made for that do."""
    module = import_module(language.grammar)
    grammar = tree_sitter.Language(getattr(module, language.grammar_function)())
    until = time.process_time() + PARSE_SECONDS_MAX
    try:
        tree = tree_sitter.Parser(grammar).parse(
            lambda offset, _point: content[offset : offset + _SLICE_BYTES],
            progress_callback=lambda _offset, _has_error: time.process_time() > until,  # True ends the parsing
        )
    except ValueError:
        return None
    return tree.walk()


def rows_of(node: Node) -> tuple[int, int]:
    """First and last row of a node, counted from 0. A node that ends with a line end does not reach the next row."""
    first, (last, column) = node.start_point.row, node.end_point
    return first, last - 1 if column == 0 and last > first else last


def _clean(name: str) -> str:
    """A dotted name without type parameters."""
    for _ in range(_STEPS_MAX):
        shorter = _GENERICS.sub("", name)
        if shorter == name:
            break
        name = shorter
    dotted = re.sub(r"::|\\|#", ".", "".join(name.split()))
    return dotted.strip(".*&'\"")[:NAME_CHARACTERS_MAX]


def _text(node: Node | None) -> str:
    return "" if node is None or node.text is None else node.text[: 4 * NAME_CHARACTERS_MAX].decode(errors="replace")


def by_field(name: str) -> Naming:
    return lambda node: _clean(_text(node.child_by_field_name(name)))


_NAME: Final = by_field("name")


def _declared(node: Node) -> str:
    """Name within the declarators of C: `static int *(*name)(void)`."""
    current: Node | None = node.child_by_field_name("declarator")
    for _ in range(_STEPS_MAX):
        inner = current and (current.child_by_field_name("declarator") or _only_declarator(current))
        if not inner:
            break
        current = inner
    return _clean(_text(current))


def _only_declarator(node: Node) -> Node | None:
    """The declarator within parentheses or a reference, which has no field name."""
    if node.type not in {"parenthesized_declarator", "reference_declarator", "attributed_declarator"}:
        return None
    return next((child for child in node.named_children if "declarator" in child.type), None) or next(
        iter(node.named_children), None
    )


def _with_body(name: Naming) -> Naming:
    """Only what is defined here: `struct point p;` uses a name."""
    return lambda node: name(node) if node.child_by_field_name("body") else ""


def _go_method(node: Node) -> str:
    receiver = _clean(_text(node.child_by_field_name("receiver")).strip("()"))
    words = re.split(r"[\s*]+", _text(node.child_by_field_name("receiver")).strip("()").strip())
    owner = _clean(words[-1]) if receiver else ""
    return f"{owner}.{_NAME(node)}".strip(".")


def _assigned(left: str) -> Naming:
    """Name of a function that is a value: `const send = () => {}`, `exports.send = function () {}`."""

    def name(node: Node) -> str:
        value = node.child_by_field_name("value") or node.child_by_field_name("right")
        if value is None or value.type not in {
            "arrow_function",
            "function_expression",
            "generator_function",
            "class",
        }:
            return ""
        target = _clean(_text(node.child_by_field_name(left)))
        return re.sub(r"^(?:module\.)?exports\.|(?<=\.)prototype\.", "", target)

    return name


def _named_or_default(node: Node) -> str:
    return _NAME(node) or ("default" if node.type != "class" else "")


_C_COMMENTS: Final = frozenset({"comment", "line_comment", "block_comment"})
_JS_FUNCTIONS: Final = {
    "function_declaration": _named_or_default,
    "generator_function_declaration": _named_or_default,
    "method_definition": _NAME,
    "variable_declarator": _assigned("name"),
    "assignment_expression": _assigned("left"),
    "field_definition": _assigned("property"),
    "public_field_definition": _assigned("name"),
}
_JS_CONTAINERS: Final = {"class_declaration": _named_or_default}
_JS: Final = Kinds(
    functions=_JS_FUNCTIONS,
    containers=_JS_CONTAINERS,
    wrappers=frozenset({"export_statement"}),
    leads=_C_COMMENTS | {"decorator"},
)
_TS: Final = Kinds(
    functions=_JS_FUNCTIONS | {"type_alias_declaration": _NAME},
    containers=_JS_CONTAINERS
    | dict.fromkeys(
        ("abstract_class_declaration", "interface_declaration", "enum_declaration", "internal_module", "module"), _NAME
    ),
    wrappers=frozenset({"export_statement", "ambient_declaration"}),
    leads=_C_COMMENTS | {"decorator"},
)
_TYPES_OF_C: Final = dict.fromkeys(("struct_specifier", "union_specifier", "enum_specifier"), _with_body(_NAME))
KINDS: Final[Mapping[str, Kinds]] = {
    PYTHON.name: Kinds(
        functions={"function_definition": _NAME},
        containers={"class_definition": _NAME},
        wrappers=frozenset({"decorated_definition"}),
    ),
    JAVASCRIPT.name: _JS,
    TYPESCRIPT.name: _TS,
    TSX.name: _TS,
    JAVA.name: Kinds(
        functions=dict.fromkeys(
            ("method_declaration", "constructor_declaration", "compact_constructor_declaration"), _NAME
        ),
        containers=dict.fromkeys(
            (
                "class_declaration",
                "interface_declaration",
                "enum_declaration",
                "record_declaration",
                "annotation_type_declaration",
            ),
            _NAME,
        ),
        leads=_C_COMMENTS,
    ),
    GO.name: Kinds(
        functions={"function_declaration": _NAME, "method_declaration": _go_method},
        containers={"type_spec": _NAME},
    ),
    RUST.name: Kinds(
        functions={"function_item": _NAME, "macro_definition": _NAME},
        containers={"impl_item": by_field("type"), "mod_item": _with_body(_NAME)}
        | dict.fromkeys(("struct_item", "enum_item", "union_item", "trait_item"), _NAME),
        leads=_C_COMMENTS | {"attribute_item"},
    ),
    C.name: Kinds(
        functions={"function_definition": _declared, "type_definition": _declared},
        containers=_TYPES_OF_C,
    ),
    CPP.name: Kinds(
        functions={"function_definition": _declared, "type_definition": _declared},
        containers=_TYPES_OF_C | {"class_specifier": _with_body(_NAME), "namespace_definition": _NAME},
        wrappers=frozenset({"template_declaration"}),
    ),
    C_SHARP.name: Kinds(
        functions=dict.fromkeys(
            (
                "method_declaration",
                "constructor_declaration",
                "destructor_declaration",
                "property_declaration",
                "local_function_statement",
            ),
            _NAME,
        ),
        containers=dict.fromkeys(
            (
                "namespace_declaration",
                "class_declaration",
                "struct_declaration",
                "interface_declaration",
                "record_declaration",
                "enum_declaration",
            ),
            _NAME,
        ),
    ),
    RUBY.name: Kinds(
        functions={"method": _NAME, "singleton_method": _NAME},
        containers={"class": _NAME, "module": _NAME},
    ),
    PHP.name: Kinds(
        functions={"function_definition": _NAME, "method_declaration": _NAME},
        containers={"namespace_definition": _with_body(_NAME)}
        | dict.fromkeys(("class_declaration", "interface_declaration", "trait_declaration", "enum_declaration"), _NAME),
    ),
    BASH.name: Kinds(functions={"function_definition": _NAME}, containers={}),
}
