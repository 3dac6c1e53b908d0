"""Wheel and source archive of this tree, and environments that they are installed into, with no network."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.distribution import build
from tests.tiny_models import write_embedder, write_reranker

PROJECT = Path(__file__).resolve().parents[2]
PARTS = (
    *("winnow", "api", "indexer", "rerank", "retrieval", "data/instructions", "data/models"),
    *("pyproject.toml", "README.md", "LICENSE"),
)
LIBRARIES = [each for each in sys.path if Path(each).name in {"site-packages", "dist-packages"}]


@dataclass(frozen=True, slots=True)
class Built:
    """The files of one build."""

    wheel: Path
    archive: Path
    client: Path  # the client's wheel


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment of its own; the libraries come from the one that runs the tests, winnow does not."""

    folder: Path

    @property
    def packages(self) -> Path:
        return next((self.folder / "lib").glob("python3*/site-packages"))

    def add(self, file: Path) -> None:
        self._pip("install", "--no-deps", "--no-index", "--ignore-installed", "--no-build-isolation", str(file))

    def remove(self, name: str) -> None:
        self._pip("uninstall", "--yes", name)

    def run(self, program: str, *arguments: str, cwd: Path, **variables: str) -> str:
        """What it printed."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("WINNOW_", "PYTHON"))}  # noqa: TID251
        done = subprocess.run(
            [str(self.folder / "bin" / program), *arguments],
            cwd=cwd,
            env=inherited | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _pip(self, *arguments: str) -> None:
        python = str(self.folder / "bin" / "python")
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", python]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def environment_in(folder: Path) -> Installed:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    made = Installed(folder)
    (made.packages / "libraries.pth").write_text("\n".join(LIBRARIES) + "\n", encoding="utf-8")
    return made


def foreign_wheel(folder: Path) -> Path:
    """Another project's distribution, whose packages have names that every second project uses."""
    files = {
        "api/__init__.py": 'OWNER = "somebody else"\n',
        "retrieval/__init__.py": 'from api import OWNER\n\n__all__ = ["OWNER"]\n',
        "foreign-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n",
        "foreign-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {
        name: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        for name, text in files.items()
    }
    record = "".join(f"{name},sha256={digest},{len(files[name].encode())}\n" for name, digest in digests.items())
    files["foreign-1.0.dist-info/RECORD"] = record + "foreign-1.0.dist-info/RECORD,,\n"
    path = folder / "foreign-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """From a copy of the tree, so that what an earlier build left behind is not in it."""
    folder = tmp_path_factory.mktemp("build")
    for part in PARTS:
        (folder / "tree" / part).parent.mkdir(parents=True, exist_ok=True)
        if (PROJECT / part).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(PROJECT / part, folder / "tree" / part, symlinks=True, ignore=ignored)
        else:
            shutil.copy(PROJECT / part, folder / "tree" / part)
    wheel, archive = build(folder / "dist", source=folder / "tree")
    client_tree = folder / "client-tree"
    made_here = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    shutil.copytree(PROJECT / "clients" / "python", client_tree, ignore=made_here)
    client, _ = build(folder / "client-dist", source=client_tree)
    return Built(wheel=wheel, archive=archive, client=client)


@pytest.fixture(scope="session")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel, beside a foreign distribution that came after it."""
    folder = tmp_path_factory.mktemp("wheel")
    environment = environment_in(folder / "venv")
    environment.add(built.client)
    environment.add(built.wheel)
    environment.add(foreign_wheel(folder))
    return environment


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Nothing where the bundled models are there, which travel in the wheel; else tiny ones."""
    if (PROJECT / "data" / "models" / "winnow-embed").is_dir():
        return {}
    folder = tmp_path_factory.mktemp("models")
    return {
        "WINNOW_EMBED_MODEL": str(write_embedder(folder / "embedder")),
        "WINNOW_RERANK_MODEL": str(write_reranker(folder / "reranker")),
    }
