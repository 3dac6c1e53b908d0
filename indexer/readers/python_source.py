"""Extracts documentation from Python source without running it."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

_PROPERTY_DECORATORS: Final = frozenset({"property", "cached_property", "functools.cached_property"})
_SETTER_SUFFIXES: Final = (".setter", ".deleter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """Something with a docstring."""

    name: str  # within its module, dotted: "JSONEncoder.default"; empty for the module itself
    kind: str  # module, class, function, method, property
    signature: str  # "(obj, *, skipkeys=False)"; empty if there is none
    docstring: str  # without indentation


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """`from module import names`, at the top of a module."""

    module: str  # absolute
    names: tuple[str, ...]  # ("*",) for all


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleSource:
    """Documentation and imports of one module."""

    name: str
    definitions: tuple[Definition, ...]
    imports: tuple[Import, ...]


def read_module(name: str, path: Path) -> ModuleSource:
    """Parse a module. Raises OSError, SyntaxError or UnicodeDecodeError if the file is not Python."""
    with tokenize.open(path) as stream:
        tree = ast.parse(stream.read())
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    top = list(_unconditional(tree.body))
    return ModuleSource(
        name=name,
        definitions=tuple(_definitions(tree, top)),
        imports=tuple(_imports(top, package)),
    )


def is_public(name: str) -> bool:
    return not any(part.startswith("_") for part in name.split("."))


def _unconditional(statements: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements, and those below `if` and `try`, where modules define or import things in two ways."""
    for statement in statements:
        if isinstance(statement, ast.If):
            yield from _unconditional([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            handled = [line for handler in statement.handlers for line in handler.body]
            yield from _unconditional([*statement.body, *handled, *statement.orelse])
        else:
            yield statement


def _definitions(tree: ast.Module, top: Iterable[ast.stmt]) -> Iterator[Definition]:
    if docstring := ast.get_docstring(tree):
        yield Definition(name="", kind="module", signature="", docstring=docstring)
    for statement in top:
        if isinstance(statement, ast.ClassDef):
            yield from _class_definitions(statement, prefix="")
        elif isinstance(statement, _Function):
            yield from _function_definition(statement, prefix="", kind="function")


def _class_definitions(node: ast.ClassDef, *, prefix: str) -> Iterator[Definition]:
    name = f"{prefix}{node.name}"
    body = list(_unconditional(node.body))
    if docstring := ast.get_docstring(node):
        makers = [line for line in body if isinstance(line, _Function) and line.name == "__init__"]
        signature = _signature(makers[0], skip_first=True) if makers else ""
        yield Definition(name=name, kind="class", signature=signature, docstring=docstring)
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            yield from _class_definitions(statement, prefix=f"{name}.")
        elif isinstance(statement, _Function):
            yield from _function_definition(statement, prefix=f"{name}.", kind="method")


def _function_definition(node: _Function, *, prefix: str, kind: str) -> Iterator[Definition]:
    docstring = ast.get_docstring(node)
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    if not docstring or any(decorator.endswith(_SETTER_SUFFIXES) for decorator in decorators):
        return
    if decorators & _PROPERTY_DECORATORS:
        yield Definition(name=f"{prefix}{node.name}", kind="property", signature="", docstring=docstring)
        return
    signature = _signature(node, skip_first=kind == "method" and "staticmethod" not in decorators)
    yield Definition(name=f"{prefix}{node.name}", kind=kind, signature=signature, docstring=docstring)


def _signature(node: _Function, *, skip_first: bool) -> str:
    arguments = node.args
    if skip_first:
        positional = [*arguments.posonlyargs, *arguments.args][1:]
        kept_posonly = max(0, len(arguments.posonlyargs) - 1)
        arguments = ast.arguments(
            posonlyargs=positional[:kept_posonly],
            args=positional[kept_posonly:],
            vararg=arguments.vararg,
            kwonlyargs=arguments.kwonlyargs,
            kw_defaults=arguments.kw_defaults,
            kwarg=arguments.kwarg,
            defaults=arguments.defaults[-len(positional) :] if positional else [],
        )
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({ast.unparse(arguments)}){returns}"


def _imports(top: Iterable[ast.stmt], package: str) -> Iterator[Import]:
    for statement in top:
        if not isinstance(statement, ast.ImportFrom) or any(alias.asname for alias in statement.names):
            continue
        module = statement.module or ""
        if statement.level:
            parents = package.split(".")
            base = parents[: len(parents) - statement.level + 1]
            module = ".".join([*base, module] if module else base)
        yield Import(module=module, names=tuple(alias.name for alias in statement.names))
