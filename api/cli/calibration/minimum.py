"""--min-relevance of `winnow search`: a number, or the calibrated threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from winnow.api.cli.terminal import Terminal
from winnow.api.formatting import number, percent

if TYPE_CHECKING:
    from winnow.api.search.records import Answer

MinRelevance = Annotated[
    str | None,
    typer.Option(
        metavar="X",
        help="Leave out results with a relevance below X (0 to 1); calibrated means the threshold that `winnow "
        "calibrate` measured.",
    ),
]


def minimum_field(said: str | None) -> float | str | None:
    """The value as a request body has it. The body refuses wrong words."""
    try:
        return None if said is None else float(said)
    except ValueError:
        return said


def say_calibrated(terminal: Terminal, answer: Answer) -> None:
    """Say which threshold was applied, and that the query cannot be answered where nothing reaches it."""
    if (applied := answer.calibration) is None:
        return
    if answer.degraded is not None:
        terminal.warn("The calibrated threshold was not applied: nothing was reranked.")
        return
    terminal.say(
        f"calibrated threshold {number(applied.threshold)}: at least {percent(applied.precision)} of the shown "
        f"passages are relevant, with {percent(applied.confidence)} confidence; coverage {percent(applied.coverage)}"
    )
    if not answer.results:
        terminal.warn("Not answerable: no passage reaches the threshold.")
