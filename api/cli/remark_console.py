"""The console for remarks on stderr. The command continues when the reader is gone."""

from __future__ import annotations

import sys

from rich.console import Console

from winnow.api.cli.standard_streams import abandon


class RemarkConsole(Console):
    """A console on stderr."""

    def __init__(self) -> None:
        super().__init__(stderr=True, highlight=False)

    def on_broken_pipe(self) -> None:
        """Stay quiet from now on; rich would end the program."""
        self.quiet = True
        abandon(sys.stderr)
