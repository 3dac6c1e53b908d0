"""A quicker first import of torch: its library is mapped beside other imports, a part of it is imported on demand, and
`inspect` need not look for its files.

Rule 1: nothing is imported here; whether and when torch is imported is for others to decide.
Rule 2: without this, or if a version of torch has no such module or file, everything works as well, later.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from threading import RLock, Thread
from types import ModuleType
from typing import Any, Final

DEFERRED: Final = "torch._meta_registrations"  # shapes without values: a quarter of torch's import, and 18 MB
NEEDS_IT: Final = frozenset({"torch._dynamo", "transformers"})  # compiles, or builds models without values
REGISTERING: Final = ("torch.utils._debug_mode._mode", "torch._native.registry")  # operators, while torch is imported
_LIBRARY: Final = Path("lib", "libtorch_cpu.so")
_lock: Final = RLock()


def map_torch() -> Thread | None:
    """Map torch's library in a thread of its own, without Python's lock, which an import would hold for 0.2 s.

    Call it where modules without libraries are imported next. The system maps one library at a time, so an import of
    another one would wait, with Python's lock. Returns the thread; None if torch is imported already, or has no such
    file, as on other systems than Linux.

    A process that ends meanwhile waits for the thread: what C++ tears down at its end is what the library sets up.
    """
    if "torch" in sys.modules:
        return None
    found = find_spec("torch")  # reads no file of it
    library = None if found is None or found.origin is None else Path(found.origin).parent / _LIBRARY
    if library is None or not library.is_file():
        return None
    import ctypes  # not for commands that load no model

    mapping = Thread(target=ctypes.CDLL(None).dlopen, args=(os.fsencode(library), os.RTLD_LAZY))
    mapping.start()
    return mapping


def defer_part_of_torch() -> None:
    """Import `DEFERRED` when one of its names is read, or with the first of `NEEDS_IT`."""
    if "torch" not in sys.modules and not any(isinstance(each, _Finder) for each in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def name_files_of_torch() -> None:
    """Tell `inspect` which modules these files are.

    torch asks where an operator is registered, and `inspect` would resolve the paths of all modules that are loaded to
    find out: a tenth of a second.
    """
    found = None if "torch" in sys.modules else find_spec("torch")
    if found is None or found.origin is None:
        return
    for name in REGISTERING:
        file = Path(found.origin).parent.joinpath(*name.split(".")[1:]).with_suffix(".py")
        inspect.modulesbyfile.setdefault(str(file), name)


class _Deferred(ModuleType):
    """A module whose file has not been run."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked of every module, by warnings and by the import system
            raise AttributeError(name)
        _run(self)
        return getattr(self, name)


def _run(module: ModuleType) -> None:
    with _lock:
        if not isinstance(module, _Deferred):
            return
        module.__class__ = ModuleType  # type: ignore[assignment]  # it may be set to a base of its class
        spec = module.__spec__
        assert spec is not None, "the import system sets it. This is a bug."
        loader = spec.loader_state
        loader.exec_module(module)


class _Loader:
    """Makes the module; its own loader runs it."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Deferred(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing yet."""


class _Finder:
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del target
        if name in NEEDS_IT and DEFERRED in sys.modules:
            _run(sys.modules[DEFERRED])
        if name != DEFERRED:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None:
            spec.loader, spec.loader_state = _Loader(), spec.loader  # type: ignore[assignment]  # protocol of the stubs
        return spec
