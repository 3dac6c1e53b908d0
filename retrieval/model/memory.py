"""The memory that a model takes in this process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMemory:
    """Bytes."""

    weights: int  # those of a vocabulary are mapped from the file, and read where they are used
    table: int  # computed for tokens that occurred; 0 for most models
