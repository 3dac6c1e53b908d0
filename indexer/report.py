"""What did a run do, how fast, and at what cost?"""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from winnow.indexer.account import FileCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """A finished run. Every field is a plain value, so that `dataclasses.asdict` is its JSON."""

    corpus: str
    read: int  # records, those refused included
    added: int
    changed: int
    unchanged: int
    removed: int
    rejected: int
    documents: int  # in the collection now
    chunks: int  # in the collection now
    chunks_written: int
    truncated: int  # chunks of which the embedder read only the beginning
    tokens: int  # computed by the embedder
    seconds: float
    documents_per_second: float  # added and changed, while writing
    tokens_per_second: float
    peak_memory_bytes: int  # of this process, the models included
    store_version: int
    generation: str | None  # None where the collection is empty
    rejects: str | None  # the file that names the rejects; None where there are none
    first_rejects: Sequence[str] = field(default_factory=list)  # the first of them: where, and why
    files: FileCounts | None = None  # of a folder: what became of every file in it
    notes: Sequence[str] = field(default_factory=list)  # what was guessed or left out, in sentences
    not_pruned: str | None = None  # why nothing was removed although that was asked for

    @property
    def taken(self) -> int:
        """Documents of the corpus that are in the collection."""
        return self.added + self.changed + self.unchanged


def peak_memory_bytes() -> int:
    """The most memory that this process has held at once."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kilobytes
