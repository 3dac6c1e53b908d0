"""What did Lance mean by that? Its errors, and its panics, in the words of our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from winnow.retrieval.errors import StoreCorrupt, WriteFailed
from winnow.retrieval.files.durable import write_errors

FOREIGN: Final = (OSError, ValueError, RuntimeError)  # what lance raises; pyarrow's errors are ValueErrors too


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What cannot be read is corrupt."""
    try:
        with panics():
            yield
    except FOREIGN as error:
        raise StoreCorrupt(f"{path}: {error}") from error


@contextmanager
def committing(path: Path) -> Iterator[None]:
    """What cannot be written has failed."""
    with write_errors(path):
        try:
            with panics():
                yield
        except (ValueError, RuntimeError) as error:
            raise WriteFailed(f"{path}: {error}") from error


@contextmanager
def panics() -> Iterator[None]:
    """A panic of the Rust code, which damaged files can cause, is no Exception to Python: it would end the process."""
    try:
        yield
    except BaseException as error:
        if type(error).__module__ != "pyo3_runtime":
            raise
        raise RuntimeError(f"lance panicked: {error}") from error
