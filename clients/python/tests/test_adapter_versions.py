"""The extras admit the versions of the frameworks that the adapters were tried with."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

PROJECT: Final = Path(__file__).resolve().parents[3]
TRIED: Final = PROJECT / "tests" / "frameworks" / "constraints.txt"


def test_the_extras_admit_what_was_tried() -> None:
    """Each extra names one framework, and its range holds the pinned version."""
    tried = dict(line.split("==") for line in TRIED.read_text(encoding="utf-8").splitlines())
    project = tomllib.loads((PROJECT / "clients" / "python" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: Requirement(*needed) for name, needed in project["optional-dependencies"].items()}
    assert sorted(extras) == ["haystack", "langchain", "llama-index", "mteb"]
    for needed in extras.values():
        assert needed.specifier.contains(tried[needed.name]), needed
