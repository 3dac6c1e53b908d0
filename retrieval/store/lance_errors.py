"""Translates Lance's errors and panics into winnow's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from winnow.retrieval.errors import StoreCorrupt, WriteFailed
from winnow.retrieval.files.durable import write_errors

FOREIGN: Final = (OSError, ValueError, RuntimeError)  # raised by Lance; pyarrow's errors are ValueErrors as well


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors while reading into `StoreCorrupt`."""
    try:
        with panics():
            yield
    except FOREIGN as error:
        raise StoreCorrupt(f"{path}: {error}") from error


@contextmanager
def committing(path: Path) -> Iterator[None]:
    """Turn errors while writing into `WriteFailed`."""
    with write_errors(path):
        try:
            with panics():
                yield
        except (ValueError, RuntimeError) as error:
            raise WriteFailed(f"{path}: {error}") from error


@contextmanager
def panics() -> Iterator[None]:
    """Turn panics of the Rust code into exceptions.

    Damaged files can cause them; to Python a panic is not an Exception, so it would end the process.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__module__ != "pyo3_runtime":
            raise
        raise RuntimeError(f"lance panicked: {error}") from error
