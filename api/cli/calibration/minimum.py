"""--min-relevance of `winnow search`: a number, or the calibrated threshold."""

from __future__ import annotations

from typing import Annotated

import typer

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
