"""What `winnow doctor` shows of a model's answers: a table, and what to look at where they are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from winnow.api.cli.terminal import Column, Terminal
from winnow.api.diagnostics.model_answers import ModelAnswers

_SHOWN_WIDTH: Final = 16  # columns of a terminal for a query or passage; a Chinese character takes two


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
        [row for each in answers for row in _rows(each, in_full=not terminal.is_rich)],
    )
    for each in answers:
        for place, cause in enumerate(each.likely_causes, start=1):
            heading = f"{each.recognised.name} on {each.runs_on}, likely causes:\n" if place == 1 else ""
            terminal.say(f"{heading}  {place}. {cause}")


def _rows(answers: ModelAnswers, *, in_full: bool) -> list[tuple[str, ...]]:
    return [
        (
            "✓" if each.verdict.is_right else "✗",
            answers.recognised.name,
            *(text if in_full else _shortened(text) for text in each.known.text),
            "–" if each.known.score is None else f"{each.known.score:.5f}",
            f"{each.got:.5f}",
            "–" if each.difference is None else f"{each.difference:+.5f}",
            "–" if each.known.score is None else f"{each.bound:g}",
            each.verdict.value,
        )
        for each in answers.comparisons
    ]


def _shortened(text: str) -> str:
    kept = _SHOWN_WIDTH if text.isascii() else _SHOWN_WIDTH // 2
    return text if len(text) <= kept else f"{text[: kept - 1].rstrip()}…"
