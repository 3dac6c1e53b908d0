"""Keeps the model library from drawing progress bars while it loads: stderr is the command's."""

from __future__ import annotations

from contextlib import suppress


def silence_progress() -> None:
    """Affects the whole process. Does nothing where the library is not installed."""
    with suppress(ImportError):
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
