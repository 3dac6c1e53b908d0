"""What a hostile file is, and what is expected of its reading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CANARY = "CANARY-93f1c7"  # stands in a file that external entities point at; no document may hold it
WORDS = "Refunds are paid within nine days after the parcel arrives."


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """A file and its outcome. Whatever it is, the run goes on, in bounded time and memory."""

    name: str
    make: Callable[[Path], None]  # writes the file
    format: str  # whose parser must be there
    reason: str | None = None  # pattern that one of its rejects matches; None: it need not be rejected
    holds: str | None = None  # text that one of its documents holds; None: it need not be read
    is_quick: bool = False  # also in `make test`


def content(data: bytes | Callable[[], bytes]) -> Callable[[Path], None]:
    """Write these bytes."""

    def make(path: Path) -> None:
        path.write_bytes(data if isinstance(data, bytes) else data())

    return make
