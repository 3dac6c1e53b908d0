"""Reads the documentation of the running interpreter's standard library: a corpus that every machine has.

Source code is parsed, never run; C modules are imported and inspected (indexer/readers/python_builtins.py). Names are
those that users import: `json.JSONDecoder`, though json/decoder.py defines it.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from winnow.indexer.account import NOTHING, Account
from winnow.indexer.corpus import Entry, Place, Record
from winnow.indexer.readers.python_builtins import ASKED_MODULES, inspect_module
from winnow.indexer.readers.python_pages import page_url
from winnow.indexer.readers.python_source import Definition, ModuleSource, is_public, read_module
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.limits import TITLE_CHARACTERS_MAX
from winnow.retrieval.records import Document

SCHEME: Final = "python-docs:"

_LEFT_OUT: Final = frozenset(
    {
        "antigravity", "distutils", "encodings", "ensurepip", "idlelib", "lib2to3", "ntpath", "nturl2path",
        "pydoc_data", "sre_compile", "sre_constants", "sre_parse", "test", "tests", "this", "turtledemo",
    }
)  # fmt: skip
_NAMED_BY_USERS: Final = {"posixpath": "os.path"}  # source -> the name it is documented under
_HALVES: Final = frozenset({"genericpath"})  # public by name, but only ever imported by other modules


@dataclass(frozen=True, kw_only=True)
class PythonDocsCorpus:
    """Docstrings of modules, classes, functions, methods and properties, ordered by id."""

    package: str = ""  # only this module and its submodules; empty for all

    @property
    def name(self) -> str:
        return f"{SCHEME}{self.package}"

    @property
    def size(self) -> int:
        return len(self._documents)

    @cached_property
    def _documents(self) -> tuple[Document, ...]:
        documents: dict[str, Document] = {}
        for module, definition, defined_in in _find_documented():
            if _is_within(module, self.package):
                document = _document(module, definition, defined_in)
                documents.setdefault(document.id, document)
        if not documents:
            raise CorpusUnreadable(f"{self.name}: this interpreter has no such module, or it has no documentation")
        return tuple(documents[document_id] for document_id in sorted(documents))

    def entries(self) -> Iterator[Entry]:
        for position, document in enumerate(self._documents, start=1):
            yield Record(document=document, place=Place(source=document.id), position=position)

    def account(self) -> Account:
        return NOTHING

    def stop(self) -> None:
        """Nothing to stop: it never waits for input."""


def _find_documented() -> Iterator[tuple[str, Definition, str]]:
    """Yield each documented thing with the module that users import and the module that defines it.

    Some come twice; the source, which has more detail, comes first.
    """
    sources = {source.name: source for source in _sources(Path(sysconfig.get_path("stdlib")))}
    exports = _find_exports(sources)
    for source in sources.values():
        for definition in source.definitions:
            top = definition.name.partition(".")[0]
            module = exports.get((source.name, top), source.name)
            module = _NAMED_BY_USERS.get(module, module)
            if _is_exporting(module) and is_public(definition.name):
                yield module, definition, source.name
    for module in ASKED_MODULES:
        for definition in inspect_module(module):
            yield module, definition, module


def _find_exports(sources: Mapping[str, ModuleSource]) -> dict[tuple[str, str], str]:
    """(defining module, name) -> the module that exports it, if that is another one.

    A package exports what it imports from its own submodules; any module, what it imports from a private one.
    """
    exports: dict[tuple[str, str], str] = {}
    for source in sources.values():
        if not _is_exporting(source.name):
            continue
        for imported in source.imports:
            origin = sources.get(imported.module)
            if origin is None or not (_is_within(origin.name, source.name) or not _is_exporting(origin.name)):
                continue
            names = imported.names
            if names == ("*",):
                names = tuple(definition.name for definition in origin.definitions if is_public(definition.name))
            for name in names:
                best = exports.setdefault((origin.name, name), source.name)
                if len(source.name) < len(best):
                    exports[origin.name, name] = source.name
    return exports


def _sources(standard_library: Path) -> Iterator[ModuleSource]:
    for name, path in _module_files(standard_library):
        try:
            yield read_module(name, path)
        except OSError as error:
            raise _unreadable(error) from error
        except (SyntaxError, UnicodeDecodeError):
            continue  # this interpreter could not import the file either


def _module_files(standard_library: Path) -> Iterator[tuple[str, Path]]:
    for top in sorted(sys.stdlib_module_names - _LEFT_OUT):
        single, package = standard_library / f"{top}.py", standard_library / top
        if single.is_file():
            yield top, single
        elif package.is_dir():
            yield from _package_files(standard_library, package)


def _package_files(standard_library: Path, package: Path) -> Iterator[tuple[str, Path]]:
    for folder, subfolders, names in os.walk(package, onerror=_refuse):
        subfolders[:] = sorted(name for name in subfolders if name not in _LEFT_OUT and name != "__pycache__")
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix == ".py" and path.stem not in _LEFT_OUT and path.stem != "__main__":
                parts = path.relative_to(standard_library).with_suffix("").parts
                yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def _refuse(error: OSError) -> None:
    raise _unreadable(error) from error


def _unreadable(error: OSError) -> CorpusUnreadable:
    """Refuse to go on: its documents would look removed."""
    return CorpusUnreadable(f"{error.filename}: {error.strerror}")


def _is_exporting(module: str) -> bool:
    return is_public(module) and module not in _HALVES


def _is_within(module: str, package: str) -> bool:
    return not package or module == package or module.startswith(f"{package}.")


def _document(module: str, definition: Definition, defined_in: str) -> Document:
    is_builtin = module == "builtins" and definition.name
    full_name = definition.name if is_builtin else f"{module}.{definition.name}".rstrip(".")
    title = f"{full_name}{definition.signature}"
    return Document(
        id=f"{SCHEME}{full_name}",
        text=definition.docstring,
        title=title if len(title) <= TITLE_CHARACTERS_MAX else full_name,
        url=page_url(module, definition.name, defined_in=defined_in),
        metadata={"module": module, "kind": definition.kind},
    )
