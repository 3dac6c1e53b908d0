"""ARCHITECTURE.md: short, about folders that exist, and with the files that a query and a document really enter."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.docs.trace import BEGIN, END, FOLDERS, PAGE, ROOT, committed_section, files_in

LINES_MAX = 150
COMMAND = "python -m tests.docs.trace --write"


def test_it_is_short() -> None:
    """A newcomer reads it in one go; what is longer belongs into docs/explanation."""
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) <= LINES_MAX


def test_every_folder_has_its_line() -> None:
    """The question that it answers, and no line for a folder that is gone."""
    page = PAGE.read_text(encoding="utf-8")
    table = page[page.index("## The folders") : page.index("## The life of a query")]
    named = {path.rstrip("/") for path in re.findall(r"`([\w/]+/)`", table)}
    found = {
        str(path.parent.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("__init__.py")
        if "migrations" not in path.parts
    }
    assert found <= named, f"no line for {sorted(found - named)}"
    assert all((ROOT / path).is_dir() for path in named), "a line for a folder that does not exist"


def test_the_files_of_both_lives_exist() -> None:
    """Whoever renames a file learns here that the page names it."""
    files = files_in(committed_section())
    assert len(files) > len(set(files)) > 50  # both lives pass some files
    assert [path for path in files if not (ROOT / path).is_file()] == [], f"run `{COMMAND}`"


@pytest.mark.timeout(120)
def test_both_lives_enter_the_files_that_are_named() -> None:
    """Traced anew, with the bundled models, in a process of its own: threads that run already cannot be traced."""
    traced = subprocess.run(
        [sys.executable, "-m", "tests.docs.trace"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert traced.returncode == 0, traced.stderr
    assert traced.stdout.startswith(BEGIN)
    assert traced.stdout.endswith(END)
    before, after = set(files_in(committed_section())), set(files_in(traced.stdout))
    assert before == after, f"only in ARCHITECTURE.md: {before - after}; only traced: {after - before}; run `{COMMAND}`"
