"""What `winnow doctor` shows of a model's answers: a table, and what to look at where they are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from winnow.api.cli.terminal import Column, Terminal
from winnow.api.diagnostics.model_answers import ModelAnswers

_SHOWN_CHARACTERS: Final = 32  # of a query or passage


def show_model_answers(terminal: Terminal, answers: Sequence[ModelAnswers]) -> None:
    """Print each answer beside the known one, then the likely causes of those that are wrong."""
    terminal.table(
        [
            Column(name=""),
            Column(name="model", style="bold"),
            Column(name="query"),
            Column(name="passage"),
            Column(name="expected", right=True),
            Column(name="got", right=True),
            Column(name="difference", right=True),
            Column(name="bound", right=True),
            Column(name="verdict"),
        ],
        [row for each in answers for row in _rows(each)],
    )
    for each in answers:
        for place, cause in enumerate(each.likely_causes, start=1):
            heading = f"{each.recognised.name} on {each.runs_on}, likely causes:\n" if place == 1 else ""
            terminal.say(f"{heading}  {place}. {cause}")


def _rows(answers: ModelAnswers) -> list[tuple[str, ...]]:
    return [
        (
            "✓" if each.verdict.is_right else "✗",
            answers.recognised.name,
            _shortened(each.known.query),
            _shortened(each.known.passage),
            "–" if each.known.score is None else f"{each.known.score:.5f}",
            f"{each.got:.5f}",
            "–" if each.difference is None else f"{each.difference:+.5f}",
            "–" if each.known.score is None else f"{each.bound:g}",
            each.verdict.value,
        )
        for each in answers.comparisons
    ]


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
