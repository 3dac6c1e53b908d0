"""The pages of the reference: their names, how each is made, and whether what is committed is still true."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from docs.generate import cli, errors, formats, http, limits, metrics, settings

FOLDER: Final = Path(__file__).resolve().parents[1] / "reference"
NOTE: Final = "<!-- Written by `python -m docs.generate` from the code. Change the code, then run it. -->\n\n"

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "cli.md": cli.page,
    "http.md": http.page,
    "settings.md": settings.page,
    "errors.md": errors.page,
    "metrics.md": metrics.page,
    "limits.md": limits.page,
    "formats.md": formats.page,
}


def written(name: str) -> str:
    """The page of this name as the code has it now."""
    return NOTE + PAGES[name]()


def outdated() -> list[str]:
    """The names of the pages that are missing or differ from the code."""
    return [name for name in PAGES if _committed(name) != written(name)]


def write_all() -> None:
    """Write every page into `docs/reference`."""
    FOLDER.mkdir(exist_ok=True)
    for name in PAGES:
        (FOLDER / name).write_text(written(name), encoding="utf-8")


def _committed(name: str) -> str | None:
    path = FOLDER / name
    return path.read_text(encoding="utf-8") if path.is_file() else None
