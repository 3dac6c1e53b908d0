"""Reads a folder of shards as one corpus: JSON lines (as pyserini has them), CSV, TSV, Parquet, Arrow, TREC files.

A folder is one if all its files are of one such kind, at any depth, and the first of them has documents: fields or
columns for id and text. Hidden files and folders, names that begin with `_`, checksums, README and LICENSE do not
count. Shards are read in the order of their paths.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from winnow.indexer.account import Account, FileCounts
from winnow.indexer.corpus import Corpus, Entry, Record
from winnow.indexer.decoding.streams import shown_path
from winnow.indexer.readers.datasets.trec import is_trec
from winnow.indexer.readers.naming.naming import Naming
from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest

_COMPRESSIONS: Final = frozenset({".gz", ".zst"})
_KINDS: Final = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
_NO_SHARDS: Final = ("readme", "license", "licence", "dataset_infos.json", "dataset_info.json")
_CHECKSUMS: Final = frozenset({".crc", ".md5", ".sha256"})
TREC: Final = "trec"


class Shard(Corpus, Protocol):
    """A corpus of one file."""

    @property
    def naming(self) -> Naming: ...


OpenShard = Callable[[Path, str, str, Naming], Shard]  # path, kind, label, names that were decided before


def kind_of_name(path: Path) -> str | None:
    """The kind of a file by its ending."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in _COMPRESSIONS]
    return _KINDS.get(suffixes[-1]) if suffixes else None


def find_shards(root: Path) -> tuple[str, tuple[str, ...]] | None:
    """Return kind and relative paths of the shards, or None if the folder holds something else."""
    found: list[str] = []
    kind: str | None = None
    for relative in _files(root):
        of_file = _kind(root / relative, kind)
        if of_file is None or kind not in (None, of_file):
            return None
        kind = of_file
        found.append(relative)
    return None if kind is None else (kind, tuple(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardsCorpus:
    """All shards of a folder."""

    root: Path
    kind: str
    files: tuple[str, ...]  # relative paths, in order
    open_shard: OpenShard = field(compare=False, repr=False)
    naming: Naming = field(default_factory=Naming, compare=False, repr=False)
    reading: list[Shard] = field(default_factory=list, compare=False, repr=False)  # the shard that is being read
    notes: list[str] = field(default_factory=list, compare=False, repr=False)  # of the first shard

    @property
    def name(self) -> str:
        return shown_path(self.root.name or str(self.root.resolve()))

    @property
    def size(self) -> int:
        return sum(self._open(file).size or 0 for file in self.files)

    def has_documents(self) -> bool:
        """Whether the first record of the first shard is a document."""
        entries = self._open(self.files[0]).entries()
        try:
            return isinstance(next(entries, None), Record)
        except (CorpusUnreadable, InvalidRequest):
            return False

    def entries(self) -> Iterator[Entry]:
        before = 0
        for file in self.files:
            shard = self._open(file)
            self.reading[:] = [shard]
            for entry in shard.entries():
                yield _moved(entry, before)
            self.naming.decision = self.naming.decision or shard.naming.decision
            if file == self.files[0]:
                self.notes[:] = shard.account().notes
            before += shard.size or 0

    def account(self) -> Account:
        count = len(self.files)
        notes = (f"{self.name}: {count} {self.kind} shard{'s' if count > 1 else ''}, read as one corpus.", *self.notes)
        return Account(files=FileCounts(found=count, read=count), notes=notes)

    def stop(self) -> None:
        for shard in self.reading:
            shard.stop()

    def _open(self, file: str) -> Shard:
        return self.open_shard(self.root / file, self.kind, shown_path(file), self.naming)


def _moved(entry: Entry, before: int) -> Entry:
    if not before:
        return entry
    position = before + entry.position
    if isinstance(entry, Record):
        return Record(document=entry.document, place=entry.place, position=position)
    return type(entry)(place=entry.place, reason=entry.reason, position=position, id=entry.id)


def _files(root: Path, below: str = "") -> Iterator[str]:
    """Yield the relative paths of the files that count, in order."""
    try:
        entries = sorted(os.scandir(root / below), key=lambda entry: entry.name + "/" * entry.is_dir())
    except OSError as error:
        raise CorpusUnreadable(f"{shown_path(str(root / below))}: {error.strerror}") from error
    for entry in entries:
        name = entry.name.lower()
        if name.startswith((".", "_", *_NO_SHARDS)) or Path(name).suffix in _CHECKSUMS:
            continue
        if entry.is_dir():
            if not entry.is_symlink():
                yield from _files(root, f"{below}{entry.name}/")
        else:
            yield f"{below}{entry.name}"


def _kind(path: Path, so_far: str | None) -> str | None:
    """The kind of a file by its ending, else by its content."""
    kind = kind_of_name(path)
    if kind is not None or so_far not in (None, TREC) or not path.is_file():
        return kind
    return TREC if is_trec(path) else None
