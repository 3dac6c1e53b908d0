"""Common part of the readers of one text file: location, encoding, and stopping."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from winnow.indexer.decoding.streams import TextSource
from winnow.indexer.readers.fields import Fields
from winnow.indexer.readers.naming.naming import Naming


@dataclass(frozen=True, slots=True, kw_only=True)
class TextCorpus:
    """A file, compressed or not, or standard input. Subclasses implement `entries` and `account`."""

    path: Path
    fields: Fields
    encoding: str | None = None
    label: str = ""  # what its records are named after; empty: the file
    stopped: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)
    naming: Naming = field(default_factory=Naming, compare=False, repr=False)

    @property
    def source(self) -> TextSource:
        return TextSource(path=self.path, encoding=self.encoding, stopped=self.stopped)

    @property
    def name(self) -> str:
        return self.label or self.source.name

    @property
    def size(self) -> int | None:
        return self.source.size

    def stop(self) -> None:
        self.stopped.set()
