"""Makes a program that loads all libraries and models start sooner, and smaller."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

from winnow.retrieval.torch_start import defer_part_of_torch, name_files_of_torch

_UNUSED: Final = "pandas"


@contextmanager
def quick_start() -> Iterator[None]:
    """Pause garbage collection while modules and models are loaded, let Arrow work without pandas, and torch without
    a part that only compilers use (retrieval/torch_start.py).

    What is loaded stays, so collections find nothing. Arrow imports pandas, if it is installed, at its first value of
    Python: 30 MB and a quarter of a second that nothing of winnow uses.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        defer_part_of_torch()
        name_files_of_torch()
        _leave_pandas_out()
        yield
    finally:
        if was_on:
            gc.enable()


class _Missing:
    """A finder that says that pandas is not installed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if name == _UNUSED:
            raise ModuleNotFoundError(f"{name} is not needed yet", name=name)
        return None


def _leave_pandas_out() -> None:
    """Let Arrow look for pandas now, once, and in vain. Its conversions to pandas look for it again."""
    if _UNUSED in sys.modules:
        return
    import pyarrow as pa

    missing = _Missing()
    sys.meta_path.insert(0, missing)
    try:
        pa.scalar(None)
    finally:
        sys.meta_path.remove(missing)
