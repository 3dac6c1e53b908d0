"""Report of a finished run: what it did, how fast, and at what cost."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from winnow.indexer.account import FileCounts
from winnow.indexer.distributed.workers import EngineReport


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """A finished run. All fields are plain values, so `dataclasses.asdict` gives its JSON."""

    corpus: str
    read: int  # records, refused ones included
    added: int
    changed: int
    unchanged: int
    removed: int
    rejected: int
    documents: int  # in the collection now
    chunks: int  # in the collection now
    chunks_written: int
    truncated: int | None  # chunks cut short by the embedder; None: a service does not tell
    tokens: int  # computed by the embedder
    seconds: float
    documents_per_second: float  # added and changed, while writing
    tokens_per_second: float
    peak_memory_bytes: int  # of this process, including the models
    store_version: int
    generation: str | None  # None if the collection is empty, or a service's
    rejects: str | None  # path of the rejects file; None if there are no rejects
    first_rejects: Sequence[str] = field(default_factory=list)  # location and reason of the first rejects
    files: FileCounts | None = None  # if the corpus is a folder: what happened to every file
    notes: Sequence[str] = field(default_factory=list)  # guesses and omissions, as sentences
    not_pruned: str | None = None  # why nothing was pruned although it was requested
    engine: EngineReport | None = None  # of the workers; None: this process embedded, or a service
    vectors: str | None = None  # their format in the collection; None: the service could not tell
    cosine_loss: float | None = None  # by how much rounding can change a cosine of the written chunks; None: not at all

    @property
    def taken(self) -> int:
        """Documents of the corpus that are in the collection."""
        return self.added + self.changed + self.unchanged


def largest_loss(*losses: float | None) -> float | None:
    """Return the largest of these, leaving out None."""
    return max((each for each in losses if each is not None), default=None)


def peak_memory_bytes() -> int:
    """Peak memory of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kilobytes
