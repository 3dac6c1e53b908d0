"""Imports modules of our front of vLLM here, where vLLM is not installed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest


def imported(monkeypatch: pytest.MonkeyPatch, module: str, absent: Mapping[str, object]) -> Iterator[Any]:
    """Yield a module of the front, fresh, with these in place of modules that are absent here."""
    for name, stand_in in absent.items():
        monkeypatch.setitem(sys.modules, name, stand_in)
    path = f"winnow.api.vllm.front.{module}"
    monkeypatch.delitem(sys.modules, path, raising=False)
    yield importlib.import_module(path)
    sys.modules.pop(path, None)
