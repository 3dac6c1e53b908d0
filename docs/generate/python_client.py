"""The generated modules of the Python client: how each is made, and whether what is committed is still true."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from docs.generate import python_types, sync_client
from docs.generate.sync_client import PACKAGE

MODULES: Final[Mapping[str, Callable[[], str]]] = {"schemas.py": python_types.module, "client.py": sync_client.module}


def written(name: str) -> str:
    """Return a module as the code has it now, in the project's format. Raises `FileNotFoundError` without ruff."""
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")
    if ruff is None:
        raise FileNotFoundError("ruff is not installed; run `make develop`")
    text = MODULES[name]()
    for command in (("check", "--fix-only", "--quiet", "--select", "I"), ("format", "--quiet")):
        arguments = [ruff, *command, "--stdin-filename", str(PACKAGE / name), "-"]
        text = subprocess.run(arguments, input=text, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return text


def outdated() -> list[str]:
    """Return the names of the modules that are missing or differ from the code."""
    return [name for name in MODULES if _committed(name) != written(name)]


def write_all() -> None:
    """Write every module into the client."""
    for name in MODULES:
        (PACKAGE / name).write_text(written(name), encoding="utf-8")


def _committed(name: str) -> str | None:
    path = PACKAGE / name
    return path.read_text(encoding="utf-8") if path.is_file() else None
