"""The plan of the code holds: functions, files and folders stay small enough to be read in one go."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

PROJECT: Final = Path(__file__).resolve().parents[2]
ROOTS: Final = (
    *("api", "indexer", "rerank", "retrieval", "bench", "training", "tests"),
    *("clients/python/winnow_client", "clients/python/tests"),
)
FUNCTION_LINES_MAX: Final = 70
FILE_LINES_MAX: Final = 400
FOLDER_FILES_MAX: Final = 25
LARGER: Final = {  # exceptions from before this test, and how large they may be; remove those within the limits
    "clients/python/winnow_client/schemas.py": 4_000,  # generated
    "tests/contract/test_instruction_library.py": 450,
    "tests/contract/test_reranker.py": 425,
    "tests/security/starve.py": 425,
    "tests/unit/api/collections/test_pairing.py": 475,
    "tests/unit/api/search/test_shadowing.py": 450,
    "tests/unit/api/search/test_two_stage.py": 475,
    "tests/unit/api/vllm/test_supervisor.py": 425,
    "tests/unit/retrieval/index/test_build.py": 500,
    "tests/unit/retrieval/store/test_lance_store.py": 625,
    "tests/unit/retrieval/vllm/test_pool.py": 450,
    "training": 30,
}


def sources(root: str) -> list[Path]:
    return sorted((PROJECT / root).rglob("*.py"))


def long_functions(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            lines = node.end_lineno - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{node.name} has {lines} lines"


@pytest.mark.parametrize("root", ROOTS)
def test_no_function_is_long(root: str) -> None:
    """A function fits on a screen, with its signature and its docstring."""
    found = {
        str(path.relative_to(PROJECT)): said for path in sources(root) if (said := [*long_functions(path.read_text())])
    }
    assert found == {}


@pytest.mark.parametrize("root", ROOTS)
def test_no_file_is_long(root: str) -> None:
    """A file has one subject."""
    lines = {str(path.relative_to(PROJECT)): path.read_text().count("\n") for path in sources(root)}
    assert {name: count for name, count in lines.items() if count > LARGER.get(name, FILE_LINES_MAX)} == {}


@pytest.mark.parametrize("root", ROOTS)
def test_no_folder_is_crowded(root: str) -> None:
    """A folder answers one question, and its list of files can be overlooked."""
    counts: dict[str, int] = {}
    for path in sources(root):
        folder = str(path.parent.relative_to(PROJECT))
        counts[folder] = counts.get(folder, 0) + 1
    assert {name: count for name, count in counts.items() if count > LARGER.get(name, FOLDER_FILES_MAX)} == {}


def test_no_exception_outlives_its_reason() -> None:
    """What is within the limits again is held to them."""
    for name in LARGER:
        path = PROJECT / name
        size = len(list(path.glob("*.py"))) if path.is_dir() else path.read_text(encoding="utf-8").count("\n")
        assert size > (FOLDER_FILES_MAX if path.is_dir() else FILE_LINES_MAX), f"{name} needs no exception any more"


def test_a_long_function_is_found() -> None:
    """The test above can fail."""
    body = "    pass\n" * FUNCTION_LINES_MAX
    assert list(long_functions(f"def long():\n{body}")) == ["long has 71 lines"]
    assert list(long_functions(f"def short():\n{body[:-9]}")) == []
