"""What somebody else wrote cannot do anything to the terminal of who reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import duration, flat, number, plain, snippet


@given(st.text())
def test_no_control_character_reaches_the_terminal(text: str) -> None:
    """Escape sequences could repaint the screen, marks of direction could turn a line around."""
    shown = plain(text)
    assert not any(character in shown for character in "\x1b\x07\x08\r\x9b\u202e\u2066")
    assert "\n" not in flat(text)
    assert "\t" not in flat(text)


@given(st.text(), st.integers(1, 50))
def test_a_snippet_fits(text: str, characters: int) -> None:
    """On one line, no longer than asked for, and a short text is not changed but for its white space."""
    shown = snippet(text, characters=characters)
    assert len(shown) <= characters
    assert "\n" not in shown
    if len(flat(text)) <= characters:
        assert shown == flat(text)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 00 s"), (125, "2 min 05 s"), (3780, "1 h 03 min")],
)
def test_durations_read_as_people_say_them(seconds: float, said: str) -> None:
    """Two units at most."""
    assert duration(seconds) == said


def test_an_absent_score_is_a_dash() -> None:
    """Not a zero: nobody said that."""
    assert (number(None), number(0.0), number(0.12345)) == ("–", "0.000", "0.123")


def test_a_narrow_table_breaks_cells_and_cuts_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is typed again stays on one line; of the rest every character is there."""
    monkeypatch.setattr(Terminal, "is_rich", property(lambda _: True))
    monkeypatch.setenv("COLUMNS", "40")
    ids, rest = ("acf3331d038c", "7611aa5f93d5"), "command-line-and-more-of-it-than-fits"
    Terminal().table([Column(name="id", whole=True), Column(name="actor")], [(each, rest) for each in ids])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 40
    assert [line.split()[0] for line in lines if any(each in line for each in ids)] == list(ids)
    assert "".join(line[len(ids[0]) + 1 :].strip() for line in lines).count(rest) == 2


@pytest.mark.parametrize("text", ["list[str]", "[bold]loud[/bold]", "[/x]", "a\\[b"])
def test_brackets_are_what_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """In a table for a person, too: nothing that somebody wrote is read for the markup of the library that draws it."""
    monkeypatch.setattr(Terminal, "is_rich", property(lambda _: True))
    Terminal().table([Column(name="note")], [(text,)], title=text)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines.count(text) == 2


def test_a_table_for_a_person_has_no_empty_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program gets every column, always in the same place."""
    columns, rows = [Column(name="name"), Column(name="note"), Column(name="made")], [("a", "", "x"), ("b", "", "")]
    Terminal().table(columns, rows)
    assert capsys.readouterr().out == "name\tnote\tmade\na\t\tx\nb\t\t\n"
    monkeypatch.setattr(Terminal, "is_rich", property(lambda _: True))
    Terminal().table(columns, rows)
    assert capsys.readouterr().out.split() == ["name", "made", "─" * 11, "a", "x", "b"]
    Terminal().table(columns, [])
    assert "note" in capsys.readouterr().out
