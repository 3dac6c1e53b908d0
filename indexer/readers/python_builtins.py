"""Documentation of the parts of the standard library that are written in C, from the objects themselves.

Only modules that are safe to import are read: importing them does nothing but define names.
"""

from __future__ import annotations

import importlib
import inspect
import re
import types
from collections.abc import Iterator
from types import ModuleType
from typing import Final

from winnow.indexer.readers.python_source import Definition, is_public

# Written in C, or with parts in C that their Python source does not show.
ASKED_MODULES: Final = (
    "array", "asyncio", "atexit", "binascii", "bisect", "builtins", "bz2", "cmath", "codecs", "collections",
    "contextvars", "csv", "datetime", "decimal", "errno", "faulthandler", "fcntl", "functools", "gc", "hashlib",
    "heapq", "hmac", "io", "itertools", "json", "locale", "lzma", "marshal", "math", "mmap", "operator", "os",
    "pickle", "pwd", "queue", "random", "re", "resource", "select", "signal", "socket", "sqlite3", "ssl",
    "string", "struct", "sys", "syslog", "termios", "threading", "time", "types", "unicodedata", "weakref",
    "xml.etree.ElementTree", "zlib",
)  # fmt: skip

_METHODS: Final = (types.MethodDescriptorType, types.ClassMethodDescriptorType, staticmethod)
_PROPERTIES: Final = (types.GetSetDescriptorType, types.MemberDescriptorType)
_SELF: Final = re.compile(r"^\(\$\w+(, /)?(, )?")  # "($self, /, key)" becomes "(key)"


def inspect_module(module_name: str) -> Iterator[Definition]:
    """Yield the documentation of a module's C functions and classes; nothing if this platform lacks the module.

    Classes written in Python show only their docstring here, which their source shows as well.
    """
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        return
    yield from _definition("", "module", module)
    for name in _names(module):
        member = getattr(module, name)
        if inspect.isclass(member):
            yield from _class_definitions(name, member)
        elif inspect.isbuiltin(member) or inspect.ismethod(member):  # random.randint is a method of a hidden object
            yield from _definition(name, "function", member)


def _names(module: ModuleType) -> list[str]:
    """Names that the module exports: its `__all__`, else what was defined in it."""
    own = {module.__name__, f"_{module.__name__}"}
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return sorted(name for name in listed if is_public(name))
    return sorted(
        name for name, member in vars(module).items() if is_public(name) and getattr(member, "__module__", None) in own
    )


def _class_definitions(name: str, cls: type) -> Iterator[Definition]:
    yield from _definition(name, "class", cls)
    hidden_halves = [base for base in cls.__mro__[1:] if base.__name__ == cls.__name__]  # socket.socket, _socket.socket
    members = {member: value for half in (*reversed(hidden_halves), cls) for member, value in vars(half).items()}
    for member_name, member in sorted(members.items()):
        if not is_public(member_name):
            continue
        if isinstance(member, _METHODS):
            yield from _definition(f"{name}.{member_name}", "method", getattr(cls, member_name))
        elif isinstance(member, _PROPERTIES):
            yield from _definition(f"{name}.{member_name}", "property", member)


def _definition(name: str, kind: str, member: object) -> Iterator[Definition]:
    docstring = member.__doc__
    if isinstance(docstring, str) and docstring.strip():
        signature = "" if kind in ("module", "property") else _signature(member)
        yield Definition(name=name, kind=kind, signature=signature, docstring=inspect.cleandoc(docstring))


def _signature(member: object) -> str:
    if inspect.ismethod(member):
        return str(inspect.signature(member))
    written = getattr(member, "__text_signature__", None) or ""
    return " ".join(_SELF.sub("(", written).replace("<unrepresentable>", "...").split())
