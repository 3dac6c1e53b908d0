"""`winnow verify` and `doctor`: check the deployment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from winnow.api.cli.options import (
    DEVICE,
    EMBEDDER,
    RERANKER,
    Json,
    open_data_folder,
    switch,
    with_settings,
)
from winnow.api.cli.terminal import Column, Exit, Terminal
from winnow.api.settings import Settings

if TYPE_CHECKING:
    from winnow.api.diagnostics.model_answers import ModelAnswers

_SHOWN_WIDTH: Final = 16  # columns of a terminal for a query or passage; a Chinese character takes two


@with_settings("data", "generations_kept")
def verify(
    *,
    settings: Settings,
    repair: Annotated[
        bool,
        switch("--repair", meaning="Repair first: remove leftover files, rebuild damaged indexes from the store."),
    ] = False,
    json: Json = False,
) -> None:
    """Check every checksum, count and vector of a data folder. Exits with 1 if something is wrong.

    Files that killed processes left behind are listed, but are no fault. --repair rebuilds a damaged vector or word
    index from the store; a running service rebuilds a damaged vector index by itself. A damaged store cannot be
    repaired: restore it from a snapshot.
    """
    terminal = Terminal(json=json)
    from winnow.api.collections.index_device import index_device, index_wish
    from winnow.api.diagnostics.repair import repaired
    from winnow.api.diagnostics.verify import verified

    disk = open_data_folder(settings)
    repairs = []
    if repair:
        wish = index_wish(settings, index_device(settings))
        repairs = repaired(disk, kept=settings.generations_kept, wish=wish)
    checks = verified(disk)
    is_sound = all(check.fault is None for check in checks)
    if json:
        body = {"data": str(settings.data), "ok": is_sound, "checks": [asdict(check) for check in checks]}
        terminal.answer(body | {"repairs": [asdict(each) for each in repairs]})
    else:
        for each in repairs:
            terminal.say(f"{each.collection}: {each.did}")
        terminal.table(
            [Column(name=""), Column(name="collection", style="bold"), Column(name="part"), Column(name="result")],
            [(_mark(check.fault), check.collection, check.part, check.fault or check.found) for check in checks],
        )
        terminal.say(
            "No damage found."
            if is_sound
            else "Damage found. `winnow verify --repair` rebuilds indexes; restore a damaged store from a snapshot.",
            style="bold",
        )
    if not is_sound:
        raise typer.Exit(Exit.FAILED)


@with_settings("data", *EMBEDDER, *RERANKER, "index_device", *DEVICE, "quantization", "vllm_python")
def doctor(*, settings: Settings, json: Json = False) -> None:
    """Check the installation: versions, devices, data, and whether the models give the answers they are known to give.

    Exits with 1 if something would keep winnow from answering, or if a model's scores differ from the published ones.
    """
    terminal = Terminal(json=json)
    import asyncio

    from winnow.api.diagnostics.doctor import examined

    examination = asyncio.run(examined(settings))
    if json:
        terminal.answer(examination.response())
    else:
        terminal.table(
            [Column(name=""), Column(name="check", style="bold"), Column(name="result")],
            [(_mark(each.problem), each.what, each.problem or each.found) for each in examination.findings],
        )
        _show_model_answers(terminal, examination.answers)
        is_well = examination.is_well
        terminal.say("All checks passed." if is_well else "Some checks failed: see the lines marked ✗.", style="bold")
    if not examination.is_well:
        raise typer.Exit(Exit.FAILED)


def _mark(problem: str | None) -> str:
    return "✓" if problem is None else "✗"


def _show_model_answers(terminal: Terminal, answers: Sequence[ModelAnswers]) -> None:
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
