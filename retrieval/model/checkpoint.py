"""Reads the weights of a model folder by name: one file or many, with or without `model.` before the names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open

from winnow.retrieval.errors import ModelUnusable

_INDEX: Final = "model.safetensors.index.json"


class Checkpoint:
    """Reads tensors on demand; the files stay on disk."""

    def __init__(self, folder: Path, files: dict[str, Path]) -> None:
        self._folder = folder
        self._files = files  # by tensor name, without `model.`

    @classmethod
    def open(cls, folder: Path) -> Checkpoint:
        """Open a folder. Raises `ModelUnusable`."""
        try:
            return cls(folder, {name.removeprefix("model."): file for name, file in _names(folder).items()})
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise ModelUnusable(f"{folder}: cannot read the weights: {error!r}") from error

    def tensor(self, name: str) -> Any:
        """Read a tensor to the CPU, in its stored type."""
        return self._read(name, None)

    def row(self, name: str, number: int) -> Any:
        """Read one row of a matrix, without reading the others."""
        return self._read(name, number)

    def _read(self, name: str, row: int | None) -> Any:
        if name not in self._files:
            raise ModelUnusable(f"{self._folder}: no tensor named {name!r}")
        file = self._files[name]
        try:
            with safe_open(file, framework="pt", device="cpu") as opened:
                names = set(opened.keys())
                stored = name if name in names else f"model.{name}"
                return opened.get_tensor(stored) if row is None else opened.get_slice(stored)[row]
        except (OSError, SafetensorError) as error:
            raise ModelUnusable(f"{file}: {error}") from error


def _names(folder: Path) -> dict[str, Path]:
    if (folder / _INDEX).is_file():
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        return {name: folder / file for name, file in index["weight_map"].items()}
    file = folder / "model.safetensors"
    with safe_open(file, framework="pt", device="cpu") as opened:
        return dict.fromkeys(opened.keys(), file)
