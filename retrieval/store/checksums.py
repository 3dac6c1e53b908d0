"""Which bytes did the files of a store have when they were written?

Lance has no checksums: a bit that flipped on the disk is another letter, another vector, or a crash within Lance, and
none of the three says which file it was. So the SHA-256 of each file is written beside the dataset when the commit
that brought it is acknowledged, in the format of `sha256sum`, which can check it, too:

    cd corpus.lance && sha256sum --check --ignore-missing SHA256SUMS

Rule 1: a sum is appended after its file is on the disk, so that a file with a sum was whole once. One without, because
the process died in between or because an earlier winnow wrote it, gets its sum with the next write.
Rule 2: a file that was cut short while it was written fails that write; no version ever names it, and later writes pass
it over. What a failed write has left goes with the next clean-up of the store.
Rule 3: each write ends with a comment that has the SHA-256 of all that stands before it, so that a change of the sums
themselves is found as well. What was appended after a change does not hide it.
Rule 4: the newest version that has a sum was acknowledged; without its manifest Lance would open the one before.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from winnow.retrieval.errors import StoreCorrupt
from winnow.retrieval.files.durable import DISK, Syncer, write_errors, write_file
from winnow.retrieval.store.lance_files import require_whole

SUMS: Final = "SHA256SUMS"

_LINE: Final = re.compile(r"([0-9a-f]{64})  (.+)")
_MARK: Final = "# of all before: "  # sha256sum passes comments over
_MANIFEST: Final = re.compile(r"_versions/\d+\.manifest")
_REWRITTEN: Final = frozenset({"_versions/latest_version_hint.json"})  # a hint that Lance does without


class _Digest(Protocol):
    """A hash that goes on."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


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
        self._written: _Digest = hashlib.sha256()  # of all that is in it then

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
                added = _marked(self._written, _lines(self._pending))
                with path.open("ab") as file:
                    file.write(added)
                self._syncer.sync(path)
                self._size = _size_of(path)
            else:  # the first time, or another process wrote since: it may have died within a line
                known = sums_of(self._root) | self._pending
                without = [name for name in _files(self._root) if _is_lances(name) and name not in known]
                self._replace(known | {name: _sum_of(self._root / name) for name in without})
        self._pending = {}
        self._is_complete = True

    def prune(self) -> None:
        """Forgets files that are no longer there."""
        known = sums_of(self._root)
        left = {name: digest for name, digest in known.items() if (self._root / name).exists()}
        if len(left) < len(known):
            is_ours = self._size == _size_of(self._root / SUMS)
            self._replace(left)
            if not is_ours:
                self._size = -1  # the next write looks for files that have none

    def _replace(self, sums: Mapping[str, str]) -> None:
        """Replaces the file; one that is damaged is continued instead, so that the damage stays found."""
        kept = b""
        if sums_fault(self._root) is not None and (self._root / SUMS).exists():
            kept = b"".join(line + b"\n" for line in (self._root / SUMS).read_bytes().split(b"\n")[:-1])
            before = sums_of(self._root)
            sums = {name: digest for name, digest in sums.items() if before.get(name) != digest}
        self._written = hashlib.sha256(kept)
        write_file(self._root / SUMS, kept + _marked(self._written, _lines(sums)), syncer=self._syncer)
        self._size = _size_of(self._root / SUMS)


def renew(root: Path, *, syncer: Syncer = DISK) -> None:
    """Takes the files as they are. For who has read and compared what is in them."""
    sums = {name: _sum_of(root / name) for name in _files(root) if _is_lances(name)}
    write_file(root / SUMS, _marked(hashlib.sha256(), _lines(sums)), syncer=syncer)


def sums_fault(root: Path) -> str | None:
    """What is wrong with the sums themselves; None where nothing is. Raises `StoreCorrupt` where it cannot be read."""
    if not (root / SUMS).exists():
        return f"{SUMS} is missing"
    if not sums_of(root):
        return f"{SUMS} is empty"
    read = hashlib.sha256()
    for line in _lines_of(root):
        is_mark = line.startswith(_MARK)
        if is_mark and line != f"{_MARK}{read.hexdigest()}":
            return f"{SUMS} is not what was written"
        if not is_mark and _LINE.fullmatch(line) is None:
            return f"{SUMS} has lines that are no checksums"
        read.update(f"{line}\n".encode())
    return None


def without_sum(root: Path) -> list[str]:
    """Files of the store that have none: a write that was killed leaves some, and the next one adds them."""
    known = sums_of(root)
    return sorted(name for name in _files(root) if _is_lances(name) and name not in known)


def without_file(root: Path) -> list[str]:
    """Files that have a sum and are missing: a clean-up that was killed leaves such lines."""
    return sorted(name for name in sums_of(root) if not (root / name).exists())


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
    """The files that are not what was written. Reads everything, and without Lance. The sums are checked by
    `sums_fault`.

    A file that is missing was removed with its version, or Lance will miss it, except for the newest manifest.
    """
    try:
        require_newest(root)
    except StoreCorrupt as corrupt:
        yield Damage(file=SUMS, said=corrupt.detail)
        return
    known = sums_of(root)
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


def _marked(written: _Digest, lines: bytes) -> bytes:
    """The lines with their mark; `written` has all of it afterwards."""
    written.update(lines)
    mark = f"{_MARK}{written.hexdigest()}\n".encode()
    written.update(mark)
    return lines + mark


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
