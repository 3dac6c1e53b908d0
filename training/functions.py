"""Functions with docstrings, from installed Python code with a permissive licence."""

import ast
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Distribution names are not import names: these are the folders below site-packages.
PERMISSIVE = {
    "astropy": "BSD-3-Clause", "bokeh": "BSD-3-Clause", "boto3": "Apache-2.0",
    "botocore": "Apache-2.0", "bson": "Apache-2.0", "celery": "BSD-3-Clause",
    "dask": "BSD-3-Clause", "django": "BSD-3-Clause", "fastapi": "MIT", "flask": "BSD-3-Clause",
    "gridfs": "Apache-2.0", "jinja2": "BSD-3-Clause", "matplotlib": "PSF-based",
    "networkx": "BSD-3-Clause", "nltk": "Apache-2.0", "numpy": "BSD-3-Clause",
    "pandas": "BSD-3-Clause", "pydantic": "MIT", "pymongo": "Apache-2.0", "redis": "MIT",
    "requests": "Apache-2.0", "scipy": "BSD-3-Clause", "seaborn": "BSD-3-Clause",
    "sentence_transformers": "Apache-2.0", "skimage": "BSD-3-Clause", "sklearn": "BSD-3-Clause",
    "spacy": "MIT", "sqlalchemy": "MIT", "statsmodels": "BSD-3-Clause", "sympy": "BSD-3-Clause",
    "tornado": "Apache-2.0", "transformers": "Apache-2.0", "twisted": "MIT",
    "werkzeug": "BSD-3-Clause", "xarray": "Apache-2.0",
}  # fmt: skip
FUNCTIONS_PER_PACKAGE_MAX = 5_000  # else three packages would be most of the code
CODE_CHARACTERS_MAX = 1_800
STDLIB_SKIPPED = {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages"}

Definition = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    package: str
    name: str
    summary: str  # first sentence of the docstring
    rest: str  # the docstring after it
    code: str  # the source without its docstring
    full: str  # the source as written


def standard_library() -> Iterator[Function]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(folder.rglob("*.py")):
        if not STDLIB_SKIPPED & set(path.relative_to(folder).parts):
            yield from _functions(path, "stdlib")


def packages(folder: Path) -> Iterator[Function]:
    for name in sorted(PERMISSIVE):
        kept = 0
        for path in sorted((folder / name).rglob("*.py")):
            if "tests" in path.parts:
                continue
            for function in _functions(path, name):
                yield function
                kept += 1
            if kept >= FUNCTIONS_PER_PACKAGE_MAX:
                break


def _functions(path: Path, package: str) -> Iterator[Function]:
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return  # a few files are templates or broken on purpose
    lines = source.splitlines()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = _function(node, lines, package)
            if function is not None:
                yield function


def _function(node: Definition, lines: list[str], package: str) -> Function | None:
    docstring = ast.get_docstring(node)
    if not docstring or len(docstring) < 12 or node.end_lineno is None or len(node.body) < 2:
        return None
    first = node.body[0]
    assert first.end_lineno is not None
    indent = node.col_offset
    head = [line[indent:] for line in lines[node.lineno - 1 : first.lineno - 1]]
    body = [line[indent:] for line in lines[first.end_lineno : node.end_lineno]]
    quoted = [line[indent:] for line in lines[first.lineno - 1 : first.end_lineno]]
    summary, _, rest = docstring.partition("\n\n")
    summary = re.sub(r"\s+", " ", summary).strip()
    sentence = re.match(r".{10,}?[.!?](?=\s|$)", summary)
    if sentence and sentence.end() < len(summary):
        summary, rest = sentence.group(), summary[sentence.end() :].strip() + "\n" + rest
    return Function(
        package=package,
        name=node.name,
        summary=summary[:300],
        rest=rest.strip(),
        code="\n".join(head + body)[:CODE_CHARACTERS_MAX],
        full="\n".join(head + quoted + body)[:CODE_CHARACTERS_MAX],
    )


def name_words(name: str) -> str:
    """Split `writeBoolean` and `write_boolean` into "write boolean"."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ")
    return " ".join(words.lower().split())
