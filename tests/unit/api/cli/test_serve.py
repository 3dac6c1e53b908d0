"""What `winnow serve` prints when it listens."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from winnow.api.cli.serve import _Announcement
from winnow.api.http.page import routes
from winnow.api.settings import Settings

READINESS: Any = SimpleNamespace(problems=(), collections=lambda: [{"name": "docs"}])


@pytest.mark.parametrize(
    ("installed", "line"),
    [(True, "Page         http://127.0.0.1:8000/ui"), (False, "Page         not installed (pip install")],
    ids=["with the extra", "without it"],
)
def test_the_address_of_the_page_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, installed: bool, line: str
) -> None:
    """Once, when the service listens; without the extra, what to install."""
    said: list[str] = []
    terminal: Any = SimpleNamespace(say=lambda text, style="": said.append(text))
    monkeypatch.setattr(routes, "is_installed", lambda: installed)
    announcement = _Announcement(terminal, "http://127.0.0.1:8000", Settings(data=tmp_path))
    announcement(READINESS)
    assert sum(each.startswith(line) for each in said) == 1
    announcement(READINESS)
    assert sum("Page" in each for each in said) == 1
