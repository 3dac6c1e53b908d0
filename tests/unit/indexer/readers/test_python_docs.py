"""The standard library as a corpus: thousands of documents, named as their users name them, addresses that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from winnow.indexer.corpus import Record, check_entries
from winnow.indexer.readers.python_docs import PythonDocsCorpus
from winnow.indexer.readers.python_pages import page_url
from winnow.indexer.readers.python_source import Definition, Import, read_module
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.records import Document


@pytest.fixture(scope="module")
def documents() -> dict[str, Document]:
    entries = list(check_entries(PythonDocsCorpus().entries()))
    assert all(isinstance(entry, Record) for entry in entries)
    return {entry.document.id: entry.document for entry in entries if isinstance(entry, Record)}


def test_there_are_thousands_and_none_is_refused(documents: dict[str, Document]):
    """Every machine has a corpus worth searching."""
    assert len(documents) > 4_000


def test_a_function_from_source(documents: dict[str, Document]):
    """Title with signature, text from the docstring, module and kind."""
    document = documents["python-docs:json.dumps"]
    assert document.title.startswith("json.dumps(obj, *, skipkeys=False, ")
    assert document.text.startswith("Serialize ``obj`` to a JSON formatted ``str``.\n\n")
    assert document.url is not None
    assert re.fullmatch(r"https://docs\.python\.org/3\.\d+/library/json\.html#json\.dumps", document.url)
    assert document.metadata == {"module": "json", "kind": "function"}


@pytest.mark.parametrize(
    ("name", "title", "kind"),
    [
        ("json", "json", "module"),
        ("json.JSONDecoder", "json.JSONDecoder(*, object_hook=None", "class"),  # defined in json.decoder
        ("asyncio.sleep", "asyncio.sleep(delay, result=None)", "function"),  # by a star, from asyncio.tasks
        ("collections.abc.Set.isdisjoint", "collections.abc.Set.isdisjoint(other)", "method"),  # a hidden module
        ("os.path.join", "os.path.join(a, *p)", "function"),  # posixpath, to its users
        ("os.path.exists", "os.path.exists(path)", "function"),  # genericpath
        ("str.split", "str.split(sep=None, maxsplit=-1)", "method"),  # written in C
        ("itertools.groupby", "itertools.groupby(iterable, key=None)", "class"),
        ("random.randint", "random.randint(a, b)", "function"),  # a method of a hidden object
        ("pathlib.PurePath.name", "pathlib.PurePath.name", "property"),
    ],
)
def test_things_are_named_as_users_name_them(documents: dict[str, Document], name: str, title: str, kind: str):
    """Where a thing is defined is nobody's business but the interpreter's."""
    document = documents[f"python-docs:{name}"]
    assert document.title.startswith(title)
    assert document.metadata["kind"] == kind


def test_noise_is_left_out(documents: dict[str, Document]):
    """No test suites, no private names, no addresses that change from run to run."""
    modules = {str(document.metadata["module"]) for document in documents.values()}
    assert not {module for module in modules if module.split(".")[0] in {"test", "idlelib", "lib2to3", "encodings"}}
    assert not [name for name in documents if re.search(r"[:.]_", name)]
    assert not [document.title for document in documents.values() if " at 0x" in document.title]


def test_two_readings_are_equal(documents: dict[str, Document]):
    """The same interpreter gives the same documents, or every run would embed them anew."""
    again = PythonDocsCorpus(package="json").entries()
    assert {entry.document.content_hash for entry in again if isinstance(entry, Record)} == {
        document.content_hash for document in documents.values() if str(document.metadata["module"]).startswith("json")
    }


def test_an_unknown_module_is_an_error():
    """`python-docs:jsn` is a typing error, not an empty corpus."""
    with pytest.raises(CorpusUnreadable, match="jsn"):
        list(PythonDocsCorpus(package="jsn").entries())


@pytest.mark.parametrize(
    ("module", "name", "defined_in", "page"),
    [
        ("json", "", "json", "json.html#module-json"),
        ("xml.etree.ElementTree", "parse", "xml.etree.ElementTree", "xml.etree.elementtree.html#xml.etree.Elem"),
        ("asyncio", "sleep", "asyncio.tasks", "asyncio-task.html#asyncio.sleep"),
        ("builtins", "len", "builtins", "functions.html#len"),
        ("builtins", "str.split", "builtins", "stdtypes.html#str.split"),
        ("builtins", "int.to_bytes", "builtins", "stdtypes.html#int.to_bytes"),
        ("builtins", "KeyError", "builtins", "exceptions.html#KeyError"),
        ("asyncio", "unknown", "asyncio.sslproto", None),
        ("json.scanner", "py_make_scanner", "json.scanner", None),
    ],
)
def test_only_known_pages_are_named(module: str, name: str, defined_in: str, page: str | None):
    """An address is right or absent."""
    url = page_url(module, name, defined_in=defined_in)
    assert url == page or (url is not None and page is not None and f"/library/{page}" in url)


SOURCE = '''
"""The module."""
from .half import one, two
from other import *
from aliased import name as other_name

try:
    import fast
except ImportError:
    def slow(a, /, b: int = 1, *rest, c, d=None, **named) -> str:
        """By hand."""

class Thing(Base):
    """A thing."""

    def __init__(self, size=3):
        """Not a document of its own, were it not for a reader who filters."""

    @property
    def size(self):
        """How large."""

    @size.setter
    def size(self, value):
        """Not this."""

    @staticmethod
    def make(kind, /):
        """Makes one."""

    def bare(self):
        pass

raise RuntimeError("reading must not run this")
'''


def test_source_is_read_without_running_it(tmp_path: Path):
    """Definitions and imports are found by parsing, below `try` as well."""
    path = tmp_path / "module.py"
    path.write_text(SOURCE, encoding="utf-8")
    source = read_module("package.module", path)
    assert source.imports == (
        Import(module="package.half", names=("one", "two")),
        Import(module="other", names=("*",)),
    )
    assert [definition for definition in source.definitions if definition.name != "Thing.__init__"] == [
        Definition(name="", kind="module", signature="", docstring="The module."),
        Definition(
            name="slow",
            kind="function",
            signature="(a, /, b: int=1, *rest, c, d=None, **named) -> str",
            docstring="By hand.",
        ),
        Definition(name="Thing", kind="class", signature="(size=3)", docstring="A thing."),
        Definition(name="Thing.size", kind="property", signature="", docstring="How large."),
        Definition(name="Thing.make", kind="method", signature="(kind, /)", docstring="Makes one."),
    ]
