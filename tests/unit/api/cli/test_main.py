"""The table of commands says what the commands themselves say."""

from __future__ import annotations

import gc

import pytest
import typer.main
from typer.testing import CliRunner

from winnow.api.cli import main
from winnow.api.cli.main import ENTRIES, app, load


def test_each_summary_is_the_first_paragraph_of_the_commands_help() -> None:
    assert {name: entry.summary for name, entry in ENTRIES.items()} == {
        name: load(name).help.split("\n\n")[0] for name in ENTRIES
    }


def test_a_list_of_commands_and_a_lookup_agree() -> None:
    root = typer.main.get_command(app)
    assert list(root.commands) == list(ENTRIES)  # type: ignore[attr-defined]
    shown = CliRunner().invoke(app, ["--help"]).output
    assert all(f"│ {name} " in shown for name in ENTRIES)
    adopted = CliRunner().invoke(app, ["collections", "adopt", "--help"])  # a command that another module adds
    assert (adopted.exit_code, "Usage: winnow collections adopt" in adopted.output) == (0, True)
    unknown = CliRunner().invoke(app, ["serch"])
    assert (unknown.exit_code, "Did you mean 'search'" in unknown.output) == (2, True)


def test_imports_are_not_looked_through_for_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    """With Python's own threshold the collector takes half of a start."""
    before = gc.get_threshold()
    found: list[int] = []
    monkeypatch.setattr(main, "_exit_code", lambda: found.append(gc.get_threshold()[0]) or 0)
    try:
        with pytest.raises(SystemExit):
            main.main()
    finally:
        gc.set_threshold(*before)
    assert found == [main.COLLECTED_AFTER]
    assert main.COLLECTED_AFTER >= 100_000


def test_an_interrupt_outside_of_typer_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the exit code of an interrupted command."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "app", interrupted)
    assert main._exit_code() == 130
