"""The documentation site builds without a warning, has every page, and loads nothing from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
LOADS = re.compile(r"""<(?:script|img|link|iframe|source)\b[^>]*?\b(?:src|href)=["']?(https?:)?//""")
IMPORTS = re.compile(r"""@import|url\(\s*["']?(?:https?:)?//""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("built")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    zensical = Path(sys.executable).parent / "zensical"
    done = subprocess.run([zensical, "build", "--strict"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def named(entry: object) -> list[str]:
    """The pages of a part of the navigation."""
    match entry:
        case str():
            return [entry]
        case dict():
            return [page for each in entry.values() for page in named(each)]
        case list():
            return [page for each in entry for page in named(each)]
    raise AssertionError(entry)


def test_every_page_is_in_the_navigation() -> None:
    """Once, and no page that is not there."""
    pages = sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md"))
    assert sorted(named(CONFIGURATION["nav"])) == pages


def test_every_page_is_built(site: Path) -> None:
    """Strictly: a link to a page or heading that does not exist is an error."""
    for page in named(CONFIGURATION["nav"]):
        assert (site / page).with_suffix(".html").is_file()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """No fonts, styles or scripts of other hosts; the site works without a network."""
    pages = list(site.rglob("*.html"))
    assert pages
    for page in pages:
        assert not LOADS.search(page.read_text(encoding="utf-8")), page
    for style in site.rglob("*.css"):
        assert not IMPORTS.search(style.read_text(encoding="utf-8")), style


def test_the_page_shows_no_code_of_ours(site: Path) -> None:
    """docs/generate writes the reference, and is no part of the site."""
    assert not list(site.rglob("*.py"))


def test_comments_for_the_tests_are_not_shown(site: Path) -> None:
    """They stay comments of HTML."""
    for page in site.rglob("*.html"):
        assert "&lt;!--" not in page.read_text(encoding="utf-8"), page
