"""Every fenced block of the two READMEs and docs/ does what the page says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tests.docs.blocks import SHELLS, Page, UndeclaredBlock, read_page
from tests.docs.running import PageFailed, Reader
from winnow.api.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
PATHS = [*READMES, *sorted((ROOT / "docs").rglob("*.md"))]
README_LINES_MAX = 150
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
AS_INSTALLED = {ROOT / "docs/how-to/evaluate.md"}  # the others do not load the libraries for each command: warm.py


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_page_does_what_it_shows(
    path: Path, service: Callable[[str], Reader], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Its blocks run from top to bottom, and what they print is what the page shows."""
    page = read_page(path)
    if not any(block.kind in ("shell", "python") for block in page.blocks):
        return
    reader = service(page.service)
    environment = dict(reader.environment)
    if path not in AS_INSTALLED:
        environment["PATH"] = f"{request.getfixturevalue('warm')}:{environment['PATH']}"
    Reader(folder=tmp_path, environment=environment, port=reader.port).follow(page)


def winnow_commands(text: str) -> list[list[str]]:
    """The words of each `winnow` command of a shell block."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words[1:] for line in lines if (words := shlex.split(line, comments=True)) and words[0] == "winnow"]


def check_command(words: list[str]) -> None:
    """Its subcommand and options exist."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        assert [word for word in words[:1] if word in command.commands], f"winnow has no command {words}"
        command, words = command.commands[words[0]], words[1:]
    spellings = {spelling for parameter in command.params for spelling in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        spelling = word.split("=")[0]
        assert not spelling.startswith("-") or spelling in spellings | {"-"}, f"{command.name} has no {spelling}"


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_commands_that_do_not_run_still_parse(path: Path) -> None:
    """So that a page about GPUs cannot keep an option that is gone."""
    for block in read_page(path).blocks:
        if block.kind == "not run" and block.language in SHELLS:
            for words in winnow_commands(block.text):
                check_command(words)


@pytest.mark.parametrize("path", READMES, ids=name_of)
def test_readme_is_short_and_its_links_lead_somewhere(path: Path) -> None:
    """The site generator checks the links within docs/."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= README_LINES_MAX
    links = LINK.findall(text)
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def written(tmp_path: Path, text: str) -> Page:
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    return read_page(path)


@pytest.mark.parametrize(
    "text",
    ["```json\n{}\n```\n", "```\nls\n```\n", "    ls\n", "<!-- not run: -->\n```bash\nls\n```\n"],
    ids=["data", "no language", "indented", "no reason"],
)
def test_an_undeclared_block_is_refused(tmp_path: Path, text: str) -> None:
    """A block is run or says why not."""
    with pytest.raises(UndeclaredBlock):
        written(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "```bash\nfalse\n```\n",
        "```bash\nfalse | cat\n```\n",
        "```bash\necho 1\n```\n<!-- output -->\n```text\n2\n```\n",
        '```bash\necho \'{"a": 1.25}\'\n```\n<!-- output -->\n```json\n{"a": 1.31}\n```\n',
        '```bash\necho \'{"a": 1, "b": 2}\'\n```\n<!-- output -->\n```json\n{"a": 1}\n```\n',
        "```python\nprint(1)\n```\n<!-- output -->\n```text\n2\n```\n",
        "<!-- exits: 1 -->\n```bash\ntrue\n```\n",
    ],
)
def test_a_page_that_shows_what_does_not_happen_fails(tmp_path: Path, text: str) -> None:
    """Exit codes and output count."""
    reader = Reader(folder=tmp_path, environment=dict(PATH="/usr/bin:/bin"), port=1)  # noqa: C408
    with pytest.raises(PageFailed):
        reader.follow(written(tmp_path, text))


def test_a_page_is_one_shell(tmp_path: Path) -> None:
    """Variables, folders and files carry over; dots and further keys are allowed in what is shown."""
    page = written(
        tmp_path,
        "<!-- file: sub/words.txt -->\n```text\nhello\n```\n"
        "```bash\nexport WORD=there\ncd sub\n```\n"
        "```bash\ncat words.txt\necho $WORD at localhost:8000\n```\n"
        "<!-- output -->\n```text\n...\nth... at localhost:8000\n```\n"
        '```bash\necho \'{"a": 1.2534, "b": [1, 2], "c": 0}\'\n```\n'
        '<!-- output -->\n```json\n{"a": 1.25, "b": [1, "…"], "…": "…"}\n```\n'
        "<!-- exits: 3 -->\n```bash\nexit 3\n```\n"
        "```bash\npwd | grep sub$\n```\n",
    )
    Reader(folder=tmp_path, environment={"PATH": "/usr/bin:/bin"}, port=1).follow(page)


@pytest.mark.parametrize("words", [["search", "x", "--nonsense"], ["nonsense"], ["collections", "nonsense"]])
def test_a_command_that_does_not_exist_is_found(words: list[str]) -> None:
    """A subcommand or an option."""
    with pytest.raises(AssertionError):
        check_command(words)
