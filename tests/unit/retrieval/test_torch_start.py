"""retrieval/torch_start.py: torch is imported sooner, and nothing is missing from it."""

from __future__ import annotations

import subprocess
import sys

from winnow.retrieval.torch_start import map_torch

DEFERRING = """
import sys
from winnow.retrieval.torch_start import DEFERRED, defer_part_of_torch, map_torch
mapping = map_torch()
defer_part_of_torch()
import torch
mapping.join()
print(sys.modules[DEFERRED].__class__.__name__, "torch._prims" in sys.modules)
print(float(torch.nn.functional.linear(torch.ones(2, 3), torch.ones(4, 3)).sum()))
"""
MAPPED = """
import os
from winnow.retrieval.torch_start import map_torch
map_torch().join()
import sys
print("torch" in sys.modules, "libtorch_cpu.so" in open("/proc/self/maps").read())
"""
ENDED_MEANWHILE = """
import time
from winnow.retrieval.torch_start import map_torch
map_torch()
time.sleep({seconds})
"""
BY_NAME = DEFERRING + "print(callable(torch._meta_registrations.register_meta), 'torch._prims' in sys.modules)"
BY_NEED = (
    DEFERRING
    + """
import torch._dynamo
print("torch._prims" in sys.modules, sys.modules[DEFERRED].__class__.__name__)
"""
)


def run(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def test_a_part_of_torch_is_imported_when_a_name_of_it_is_read() -> None:
    assert run(BY_NAME) == ["_Deferred False", "24.0", "True True"]


def test_what_needs_the_part_imports_it() -> None:
    """Compilers compute shapes by it, and read none of its names."""
    assert run(BY_NEED) == ["_Deferred False", "24.0", "True module"]


def test_the_library_is_mapped_without_an_import() -> None:
    """In another thread; once torch is imported, there is nothing to map."""
    assert run(MAPPED) == ["False True"]
    import torch

    assert torch is not None
    assert map_torch() is None


def test_a_process_may_end_while_the_library_is_mapped() -> None:
    """It waits for the library: 27 of 27 that ended after 0.03 to 0.1 s crashed before."""
    for seconds in (0, 0.03, 0.08, 0.1):
        assert run(ENDED_MEANWHILE.format(seconds=seconds)) == []
