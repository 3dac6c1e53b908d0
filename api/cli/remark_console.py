"""The console on which a command speaks to a person. Where nobody listens any more, the command goes on."""

from __future__ import annotations

import sys

from rich.console import Console

from winnow.api.cli.standard_streams import abandon


class RemarkConsole(Console):
    """On stderr."""

    def __init__(self) -> None:
        super().__init__(stderr=True, highlight=False)

    def on_broken_pipe(self) -> None:
        """rich would end the program."""
        self.quiet = True
        abandon(sys.stderr)
