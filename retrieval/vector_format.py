"""How the store of a collection keeps its vectors."""

from __future__ import annotations

from enum import StrEnum


class VectorFormat(StrEnum):
    """The number type of stored vectors. Chosen when a collection is created; the store's schema has it."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"  # half the size; every search computes with the rounded values
