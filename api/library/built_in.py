"""The instructions that come with winnow: those of data/instructions, for every tenant, below `builtin/`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from winnow.api.library.yaml_file import imported
from winnow.retrieval.catalog.instructions import InstructionVersion

_PLACES: Final = (
    Path(__file__).parents[1] / "builtin_instructions",  # installed from a wheel
    Path(__file__).resolve().parents[2] / "data" / "instructions",  # a checkout
)


@cache
def built_in_instructions() -> tuple[InstructionVersion, ...]:
    """Return the built-in instructions, by name and version. Their dates are when they were read and mean nothing."""
    files = sorted(file for place in _PLACES for file in place.glob("*.yaml"))
    found = [version for file in files for version in imported(file.read_bytes(), tenant=None)]
    assert found, "the program contains them. This is a bug."
    return tuple(sorted(found, key=lambda each: (each.name, each.version)))
