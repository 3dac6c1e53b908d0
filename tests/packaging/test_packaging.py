"""What is published: one package, `winnow`, that works wherever it is installed and whatever is installed beside it."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import winnow
from deploy.distribution import SIZE_MAX, too_large
from tests.packaging.conftest import PROJECT, Built, Installed, environment_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HEAVY = ("numpy", "torch", "faiss", "lance", "pyarrow", "pydantic", "fastapi", "sqlalchemy", "typer", "rich")
IMPORTED = f"import sys, winnow; print(winnow.__version__, *sorted(set(sys.modules) & set({HEAVY})))"
DOCUMENTS = (
    {"id": "refunds", "text": "You may return goods bought online within fourteen days."},
    {"id": "herons", "text": "The heron stands still in shallow water and strikes at fish."},
)


def modules_of_the_tree() -> set[str]:
    folders = ("api", "indexer", "rerank", "retrieval")
    found = {f"winnow/{file.relative_to(PROJECT)}" for each in folders for file in (PROJECT / each).rglob("*.py")}
    return found | {"winnow/__init__.py"}


def test_the_wheel_holds_one_package_and_every_module(built: Built):
    """With the models, the built-in instructions, and nothing beside the package."""
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())
    assert {name.split("/")[0] for name in names} == {"winnow", f"winnow_search-{winnow.__version__}.dist-info"}
    assert {name for name in names if name.endswith(".py")} == modules_of_the_tree()
    assert any(name.startswith("winnow/api/builtin_instructions/") for name in names)
    models = {name.split("/")[3] for name in names if name.startswith("winnow/retrieval/models/")}
    assert models == {each.name for each in (PROJECT / "data" / "models").glob("winnow-*")}


def test_the_source_archive_holds_one_package_and_what_it_is_built_from(built: Built):
    """Whoever unpacks it has real files, not links."""
    with tarfile.open(built.archive) as archive:
        members = [member for member in archive.getmembers() if not member.isdir()]
    names = {member.name.partition("/")[2] for member in members}
    assert all(member.isreg() for member in members)
    assert {name for name in names if name.endswith(".py")} == modules_of_the_tree()
    folders = {name.split("/")[0] for name in names if "/" in name}
    assert folders == {"winnow", "data", "winnow_search.egg-info"}


def test_neither_is_too_large(built: Built, tmp_path: Path):
    """And a file that is too large is named with its size."""
    assert [too_large(built.wheel), too_large(built.archive)] == [None, None]
    large = tmp_path / "large.whl"
    with large.open("wb") as file:
        file.truncate(SIZE_MAX[".whl"] + 1)
    assert "large.whl has" in (too_large(large) or "")


def test_a_tag_is_the_version():
    """Otherwise nothing is built."""
    command = [sys.executable, "deploy/distribution.py", "--tag", "v0.0.0"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"has version {winnow.__version__}" in done.stderr


def test_importing_it_loads_nothing_heavy(installed: Installed, tmp_path: Path):
    printed = installed.run("python", "-c", IMPORTED, cwd=tmp_path)
    assert printed.split() == [winnow.__version__]
    place = installed.run("python", "-c", "import winnow; print(winnow.__file__)", cwd=tmp_path)
    assert place.startswith(str(installed.packages)), "that is not what was installed"


def test_it_works_beside_packages_of_the_same_names(installed: Installed, models: dict[str, str], tmp_path: Path):
    """Both do, from a folder that has an `api` package of its own first on the path."""
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "__init__.py").write_text('raise ImportError("this is the api package of the folder")\n')
    theirs = installed.run("python", "-c", "import retrieval; print(retrieval.OWNER)", cwd=tmp_path.parent)
    assert theirs.strip() == "somebody else"
    variables = models | {"PYTHONPATH": ".", "WINNOW_DATA": str(tmp_path / "data")}
    assert winnow.__version__ in installed.run("winnow", "--version", cwd=tmp_path, **variables)
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS), encoding="utf-8")
    installed.run("winnow", "index", "corpus.jsonl", "--collection", "docs", cwd=tmp_path, **variables)
    found = installed.run("winnow", "search", "heron", "--collection", "docs", "--json", cwd=tmp_path, **variables)
    assert {each["document_id"] for each in json.loads(found)["results"]} == {"refunds", "herons"}


def test_the_doctor_finds_nothing_wrong(installed: Installed, models: dict[str, str], tmp_path: Path):
    """From another folder, with the models that travel in the wheel."""
    if models:
        pytest.skip("the bundled models are not in this checkout, and made ones answer noise")
    said = json.loads(installed.run("winnow", "doctor", "--json", cwd=tmp_path, WINNOW_DATA=str(tmp_path / "data")))
    assert said["ok"] is True


def test_removing_the_other_takes_nothing_away(built: Built, installed: Installed, tmp_path: Path):
    """Nor does it matter which came first: the source archive is installed after the other is gone."""
    installed.remove("foreign")
    assert winnow.__version__ in installed.run("winnow", "--version", cwd=tmp_path)
    environment = environment_in(tmp_path / "venv")
    environment.add(built.client)
    environment.add(built.archive)
    assert environment.run("python", "-c", IMPORTED, cwd=tmp_path).split() == [winnow.__version__]
    assert winnow.__version__ in environment.run("winnow", "--version", cwd=tmp_path)
    assert (environment.packages / "winnow" / "retrieval" / "search" / "recall.py").is_file()
    assert not (environment.packages / "api").exists()
