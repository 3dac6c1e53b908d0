"""What all readers of one file of text share: where it lies, in which encoding, and how its reading is ended."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from winnow.indexer.decoding.streams import TextSource
from winnow.indexer.readers.fields import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class TextCorpus:
    """A file, compressed or not, or the standard input. Subclasses yield its entries and account for them."""

    path: Path
    fields: Fields
    encoding: str | None = None
    stopped: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)

    @property
    def source(self) -> TextSource:
        return TextSource(path=self.path, encoding=self.encoding, stopped=self.stopped)

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def size(self) -> int | None:
        return self.source.size

    def stop(self) -> None:
        self.stopped.set()
