"""What can be set, what is bounded and what can be commanded is documented, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from winnow.api.cli.exits import Exit
from winnow.api.cli.main import app
from winnow.api.settings import rows
from winnow.retrieval import limits

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def commands(group: Any = None, prefix: str = "winnow") -> Iterator[tuple[str, Any]]:
    """Every command that can be typed, by its words."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", [row.name for row in rows()])
def test_every_setting_is_in_the_readme(name: str) -> None:
    """Its variable; the flag follows from it."""
    variable = next(row.variable for row in rows() if row.name == name)
    assert f"`{variable}`" in README, f"{variable} is a setting that nobody documented"


@pytest.mark.parametrize("name", [name for name in vars(limits) if name.isupper()])
def test_every_limit_is_in_the_readme(name: str) -> None:
    """With its value, so that the page cannot go stale."""
    value = getattr(limits, name)
    shown = value if isinstance(value, str) else f"{value:,}"
    row = next((line for line in README.splitlines() if f"`{name}`" in line), "")
    assert shown in row, f"{name} = {shown} is a limit that nobody documented"


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_is_in_the_readme(words: str) -> None:
    """By the words that are typed; `winnow collections list` may stand as `winnow collections`."""
    assert words in README or words.rpartition(" ")[0] in README, f"{words} is a command that nobody documented"


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_and_every_option_has_help(words: str) -> None:
    """`--help` is where people look first."""
    command = COMMANDS[words]
    assert command.help, f"{words} does not say what it does"
    for parameter in command.params:
        if parameter.name != "help":
            assert getattr(parameter, "help", None), f"{words} does not say what {parameter.name} is"


@pytest.mark.parametrize("words", [words for words in COMMANDS if words not in {"winnow serve", "winnow demo"}])
def test_every_command_speaks_json(words: str) -> None:
    """All but the two whose output is for eyes."""
    assert "json" in {parameter.name for parameter in COMMANDS[words].params}


@pytest.mark.parametrize("words", COMMANDS)
def test_whoever_names_a_collection_may_say_whose(words: str) -> None:
    """Every tenant has names of its own."""
    names = {parameter.name for parameter in COMMANDS[words].params}
    assert "collection" not in names or "tenant" in names, f"{words} reaches the default tenant's only"


@pytest.mark.parametrize("words", COMMANDS)
def test_options_agree_with_the_settings(words: str) -> None:
    """A flag named like a setting is that setting: same spelling, same help."""
    by_name = {row.name: row for row in rows()}
    for parameter in COMMANDS[words].params:
        row = by_name.get(str(parameter.name))
        if row is not None and row.flag is not None:
            assert row.flag in parameter.opts
            assert row.variable in parameter.help


@pytest.mark.parametrize("code", Exit)
def test_every_exit_code_is_in_the_readme(code: Exit) -> None:
    """Scripts branch on them."""
    assert re.search(rf"^\|\s*{code.value}\s*\|", README, re.MULTILINE), f"exit code {code.value} is not documented"
