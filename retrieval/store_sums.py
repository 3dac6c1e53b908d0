"""Which bytes did the files of a store have when they were written?

Lance has no checksums: a bit that flipped on the disk is another letter, another vector, or a crash within Lance, and
none of the three says which file it was. So the SHA-256 of each file is written beside the dataset when the commit
that brought it is acknowledged, in the format of `sha256sum`, which can check it, too:

    cd corpus.lance && sha256sum --check --ignore-missing SHA256SUMS

Rule 1: a sum is appended after its file is on the disk, so that a file with a sum was whole once. One without, because
the process died in between or because an earlier winnow wrote it, gets its sum with the next write.
Rule 2: a file that was cut short while it was written fails that write; no version ever names it, and later writes pass
it over. What a failed write has left goes with the next clean-up of the store.
Rule 3: the newest version that has a sum was acknowledged; without its manifest Lance would open the one before.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from retrieval.durable import DISK, Syncer, write_errors, write_file
from retrieval.errors import StoreCorrupt
from retrieval.lance_files import require_whole

SUMS: Final = "SHA256SUMS"

_LINE: Final = re.compile(r"([0-9a-f]{64})  (.+)")
_MANIFEST: Final = re.compile(r"_versions/\d+\.manifest")
_REWRITTEN: Final = frozenset({"_versions/latest_version_hint.json"})  # a hint that Lance does without


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A file that is not what was written."""

    file: str  # relative to the store
    said: str  # one sentence

    @property
    def is_of_words(self) -> bool:
        """Whether the file is a part of the full-text index, which can be made anew of the texts."""
        return is_of_words(self.file)


class StoreSums:
    """The sums of one store, kept by the process that writes to it."""

    def __init__(self, root: Path, *, syncer: Syncer = DISK) -> None:
        self._root = root
        self._syncer = syncer
        self._present: set[str] = set()  # files that are judged already, or that no later write will name
        self._is_complete = False  # no write has failed since `_present` was read
        self._pending: dict[str, str] = {}  # sums that are not written yet, by path
        self._size = -1  # of the file, as this process left it

    def begin(self) -> None:
        """Before anything is written: what is there now came whole, or is nothing that a commit will name."""
        if not self._is_complete:
            self._present.update(_files(self._root))
        self._is_complete = False

    def arrived(self, path: Path) -> None:
        """A file is new here. Raises `WriteFailed` where it was cut short."""
        name = path.relative_to(self._root).as_posix()
        if name in self._present or not _is_lances(name):
            return
        require_whole(path)
        with write_errors(path):
            self._pending[name] = _sum_of(path)
        self._present.add(name)

    def write(self) -> None:
        """The sums of all that arrived, on the disk when this returns."""
        path = self._root / SUMS
        with write_errors(path):
            if self._size == _size_of(path) >= 0:
                with path.open("ab") as file:
                    file.write(_lines(self._pending))
                self._syncer.sync(path)
            else:  # the first time, or another process wrote since: it may have died within a line
                known = sums_of(self._root) | self._pending
                without = [name for name in _files(self._root) if _is_lances(name) and name not in known]
                sums = known | {name: _sum_of(self._root / name) for name in without}
                write_file(path, _lines(sums), syncer=self._syncer)
            self._size = _size_of(path)
        self._pending = {}
        self._is_complete = True

    def prune(self) -> None:
        """Forgets files that are no longer there."""
        path = self._root / SUMS
        known = sums_of(self._root)
        left = {name: digest for name, digest in known.items() if (self._root / name).exists()}
        if len(left) < len(known):
            write_file(path, _lines(left), syncer=self._syncer)
            self._size = _size_of(path)


def sums_of(root: Path) -> dict[str, str]:
    """By path. Empty where a store has none yet; a line that is no sum is passed over, `damaged` tells of it."""
    found = (_LINE.fullmatch(line) for line in _lines_of(root))
    return {match[2]: match[1] for match in found if match is not None}


def require_newest(root: Path) -> None:
    """Raises `StoreCorrupt` where the newest acknowledged version has lost its manifest, or has another one."""
    manifests = {name: digest for name, digest in sums_of(root).items() if _MANIFEST.fullmatch(name)}
    if not manifests:
        return
    newest = min(manifests)  # they are named by the distance to the largest version there can be
    try:
        found = _sum_of(root / newest)
    except OSError as error:
        raise StoreCorrupt(f"{root / newest} cannot be read: {error.strerror}") from error
    if found != manifests[newest]:
        raise StoreCorrupt(f"{root / newest} is not what was written, or its line in {SUMS} is not")


def damaged(root: Path) -> Iterator[Damage]:
    """The files that are not what was written. Reads everything, and without Lance.

    A file that is missing was removed with its version, or Lance will miss it, except for the newest manifest.
    """
    try:
        require_newest(root)
    except StoreCorrupt as corrupt:
        yield Damage(file=SUMS, said=corrupt.detail)
        return
    known = sums_of(root)
    if len(known) < len(_lines_of(root)):
        yield Damage(file=SUMS, said=f"{SUMS} has lines that are no checksums")
    for name, digest in known.items():
        try:
            found = _sum_of(root / name)
        except FileNotFoundError:
            continue
        except OSError as error:
            yield Damage(file=name, said=f"{name} cannot be read: {error.strerror}")
            continue
        if found != digest:
            yield Damage(file=name, said=f"{name} is not what was written")


def is_of_words(name: str) -> bool:
    """Whether a file of a store belongs to its full-text index: Lance keeps indexes there, and we have no others."""
    return name.startswith("_indices/")


def _lines(sums: Mapping[str, str]) -> bytes:
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()


def _lines_of(root: Path) -> list[str]:
    """What stands behind the last line's end was cut off while it was appended."""
    try:
        content = (root / SUMS).read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreCorrupt(f"{root / SUMS}: {error.strerror}") from error
    return content[: content.rfind(b"\n") + 1].decode("utf-8", "replace").splitlines()


def _files(root: Path) -> Iterator[str]:
    for folder, _, names in os.walk(root):
        for name in names:
            yield (Path(folder) / name).relative_to(root).as_posix()


def _is_lances(name: str) -> bool:
    """What lies directly in the root is ours, and checked in other ways."""
    return "/" in name and name not in _REWRITTEN and not name.rpartition("/")[2].startswith(".")


def _sum_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size_of(path: Path) -> int:
    """-1 where there is none."""
    return path.stat().st_size if path.exists() else -1
