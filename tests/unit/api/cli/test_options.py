"""A command gets its options from the settings' table, and one `Settings` in return."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from winnow.api.cli.main import app as winnow
from winnow.api.cli.options import DEVICE, with_settings
from winnow.api.settings import MODELS, Settings, rows
from winnow.retrieval.errors import SettingInvalid

RECEIVED: list[tuple[object, ...]] = []
toy = typer.Typer()


@toy.command()
@with_settings("data", "port", "spawn_vllm", "candidates", "index_recall", *DEVICE)
def command(
    query: str,
    *,
    settings: Settings,
    candidates: int | None,
    loud: Annotated[bool, typer.Option("--loud")] = False,
) -> None:
    """Do something."""
    RECEIVED.append((query, settings, candidates, loud))


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make test` itself sets WINNOW_VLLM_PYTHON."""
    for row in rows():
        monkeypatch.delenv(row.variable, raising=False)


def run(*words: str, environment: dict[str, str] | None = None) -> tuple[str, Settings, int | None, bool]:
    RECEIVED.clear()
    done = CliRunner().invoke(toy, list(words), env=environment, catch_exceptions=False, standalone_mode=False)
    assert done.exit_code == 0, done.output
    (received,) = RECEIVED
    return received  # type: ignore[return-value]


def test_a_flag_wins_over_the_variable_and_the_variable_over_the_default() -> None:
    """As `load` promises: the options only pass on what was typed."""
    _, settings, _, _ = run("q", environment={"WINNOW_PORT": "7"})
    assert settings == Settings(port=7)
    _, settings, _, loud = run("q", "--port", "9", "--loud", environment={"WINNOW_PORT": "7"})
    assert (settings, loud) == (Settings(port=9), True)


def test_a_switch_can_be_taken_back(tmp_path: Path) -> None:
    """--no-spawn-vllm wins over a settings file that starts vLLM."""
    config = tmp_path / "winnow.toml"
    config.write_text("spawn_vllm = true", encoding="utf-8")
    assert run("q", "--config", str(config))[1].spawn_vllm
    assert not run("q", "--config", str(config), "--no-spawn-vllm")[1].spawn_vllm


def test_a_parameter_named_like_a_setting_is_what_the_flag_says() -> None:
    """A default and a variable are in the settings alone: a command can tell what was asked for this once."""
    _, settings, candidates, _ = run("q", environment={"WINNOW_CANDIDATES": "5"})
    assert (settings.candidates, candidates) == (5, None)
    _, settings, candidates, _ = run("q", "--candidates", "6", environment={"WINNOW_CANDIDATES": "5"})
    assert (settings.candidates, candidates) == (6, 6)


def test_options_stand_where_the_settings_stand_and_panels_at_the_end() -> None:
    """The order of the help: what a command is about comes first."""
    parameters = typer.main.get_command(toy).params
    names = [each.name for each in parameters if each.name != "help" and not getattr(each, "hidden", False)]
    assert [name for name in names if "completion" not in str(name)] == [
        *("query", "data", "port", "candidates", "loud"),
        *("spawn_vllm", "index_recall", "device", "dtype", "model_source", "config"),
    ]
    panels = {each.name: getattr(each, "rich_help_panel", None) for each in parameters}
    assert (panels["port"], panels["device"]) == (None, MODELS)


def test_click_refuses_what_is_not_of_the_type_and_the_settings_what_is_out_of_range() -> None:
    """Two sentences of two authors: both end a command before it does anything."""
    wrong = CliRunner().invoke(toy, ["q", "--port", "eighty"])
    assert wrong.exit_code == 2
    assert "Invalid value for '--port'" in wrong.output
    with pytest.raises(SettingInvalid, match="--port = '99999': it must be between 0 and 65535"):
        run("q", "--port", "99999")


def test_serve_has_an_option_for_every_setting_that_has_a_flag() -> None:
    """The service is what all of them are about, except those of the files that only `winnow index` reads."""
    serve = typer.main.get_command(winnow).commands["serve"]  # type: ignore[attr-defined]
    flagged = {row.name for row in rows() if row.flag is not None}
    assert flagged - {each.name for each in serve.params} == {"ocr_command"}
