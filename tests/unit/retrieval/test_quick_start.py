"""retrieval/quick_start.py: a start without what nothing uses, after which everything works as ever."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from winnow.retrieval.quick_start import quick_start
from winnow.retrieval.torch_start import defer_part_of_torch

PROGRAM = """
import sys
from winnow.retrieval.quick_start import quick_start
if {hidden}:
    with quick_start():
        import lance
else:
    import lance
import pyarrow as pa
print("pandas" in sys.modules)
table = pa.table({{"a": [1, None], "b": ["x", "民"]}})
print(table.to_pylist(), table.to_pandas().to_dict())
"""


def test_pandas_is_not_imported_and_arrow_converts_to_it_all_the_same() -> None:
    """The control imports it: Arrow does, so the test would see it."""
    pytest.importorskip("pandas")
    said = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM.format(hidden=hidden)], check=True, capture_output=True, text=True
        ).stdout.splitlines()
        for hidden in (True, False)
    ]
    assert [lines[0] for lines in said] == ["False", "True"]
    assert said[0][1:] == said[1][1:]


def test_garbage_is_collected_again_also_after_an_error() -> None:
    defer_part_of_torch()  # which stays
    finders, was_on = list(sys.meta_path), []

    def fail() -> None:
        with quick_start():
            was_on.append(gc.isenabled())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert was_on == [False]
    assert gc.isenabled()
    assert sys.meta_path == finders
