"""No machine without a GPU draws CUDA unasked: uv where it is there, pip where it knows better, and a word before."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[3]
PLAN = runpy.run_path(str(PROJECT / "deploy" / "install.py"))["plan"]
WHAT = ("--quiet", "--constraint", "constraints.txt", "--editable", "clients/python", "--editable", ".[cpu,dev]")
PIP = ("python", "-m", "pip", "--disable-pip-version-check", "install", *WHAT)
UV = ("/bin/uv", "pip", "install", "--python", "python", "--torch-backend=auto", *WHAT)


@pytest.mark.parametrize(
    ("uv", "pip_settings", "platform", "command", "said"),
    [
        ("/bin/uv", "global.timeout='60'", "linux", UV, "about 200 MB where there is no GPU"),
        ("/bin/uv", "global.find-links='/wheels'", "linux", PIP, "from where it is set up"),
        ("/bin/uv", ":env:.extra-index-url='file:///x'", "linux", PIP, "from where it is set up"),
        ("/bin/uv", "global.index-url='file:///mirror'", "linux", PIP, "several GB, with or without a GPU"),
        (None, "", "linux", PIP, "several GB, with or without a GPU"),
        (None, "", "darwin", PIP, "a few hundred MB"),
    ],
)
def test_what_installs(uv: str | None, pip_settings: str, platform: str, command: tuple[str, ...], said: str) -> None:
    """And what is said before it starts."""
    chosen: Any = PLAN(python="python", extras="cpu,dev", uv=uv, pip_settings=pip_settings, platform=platform)
    assert chosen.command == command
    assert said in chosen.said


def test_the_image_takes_the_cpu_build_unless_told_otherwise() -> None:
    """A build argument, which compose leaves as it is."""
    dockerfile = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG TORCH_BACKEND=cpu$", dockerfile, re.MULTILINE)
    assert '--torch-backend="${TORCH_BACKEND}"' in dockerfile
    assert "TORCH_BACKEND" not in (PROJECT / "docker-compose.yml").read_text(encoding="utf-8")


def test_the_image_holds_bytecode() -> None:
    """Containers write none, so each start would compile all modules, in twice the time. uv compiles on demand only."""
    dockerfile = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    assert "PYTHONDONTWRITEBYTECODE=1" in dockerfile
    installs = [line for line in dockerfile.splitlines() if "uv pip install" in line]
    assert all("--compile-bytecode" in line for line in installs)
    assert len(installs) == 1


def test_make_installs_by_the_plan() -> None:
    """Each environment, and nothing else installs the project."""
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    assert re.findall(r"deploy/install\.py (\S+)", makefile) == ["cpu,documents,ui", "cpu,docs", "cpu,dev"]
    assert "--editable" not in makefile
