"""Checksums of a store's files, recorded when they are written.

Lance has no checksums: a flipped bit on the disk becomes another letter, another vector, or a crash inside Lance, and
none of these names the file. The SHA-256 of each file is therefore written into the dataset's folder when its commit is
acknowledged. The format is that of `sha256sum`, which can check them as well:

    cd corpus.lance && sha256sum --check --ignore-missing SHA256SUMS

Rule 1: a checksum is appended after its file is on the disk, so a file with a checksum was once complete. A file
without one (the process died in between, or an earlier winnow wrote it) gets its checksum with the next write.
Rule 2: a file that was truncated while it was written fails that write. No version ever names it, later writes ignore
it, and the next clean-up of the store removes it.
Rule 3: each write ends with a comment that holds the SHA-256 of everything before it, so changes of the checksum file
itself are found too. Lines appended after such a change do not hide it.
Rule 4: the newest version with a checksum was acknowledged; without its manifest Lance would open the one before it.
Rule 5: a process appends only to the file that it left, and compares it after opening it. One that takes over during a
pause replaces the file, so what the paused process still appends goes to a file without a name.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol, Self

from winnow.retrieval.errors import StoreCorrupt
from winnow.retrieval.files.durable import DISK, Syncer, write_errors, write_file
from winnow.retrieval.store.lance_files import require_whole

SUMS: Final = "SHA256SUMS"

_LINE: Final = re.compile(r"([0-9a-f]{64})  (.+)")
_MARK: Final = "# of all before: "  # sha256sum ignores comments
_MARK_BYTES: Final = len(_MARK) + 2 * hashlib.sha256().digest_size + 1
_MANIFEST: Final = re.compile(r"_versions/\d+\.manifest")
_REWRITTEN: Final = frozenset({"_versions/latest_version_hint.json"})  # a hint that Lance does not need


class _Digest(Protocol):
    """A hash that can be continued."""

    def copy(self) -> Self: ...

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A file that differs from what was written."""

    file: str  # relative to the store
    said: str  # one sentence for the user

    @property
    def is_of_words(self) -> bool:
        """Whether the file belongs to the full-text index, which can be rebuilt from the texts."""
        return is_of_words(self.file)


class StoreSums:
    """The checksums of one store, kept by the process that writes to it."""

    def __init__(self, root: Path, *, syncer: Syncer = DISK) -> None:
        self._root = root
        self._syncer = syncer
        self._present: set[str] = set()  # files that have a checksum, or that no later commit will name
        self._is_complete = False  # no write has failed since `_present` was read
        self._pending: dict[str, str] = {}  # checksums not written yet, by path
        self._size = -1  # bytes of the file as this process left it
        self._end = b""  # its last mark, which differs for any other content
        self._written: _Digest = hashlib.sha256()  # hash of its content

    def begin(self) -> None:
        """Start a write: files that exist now are complete, or no commit will ever name them."""
        if not self._is_complete:
            self._present.update(_files(self._root))
        self._is_complete = False

    def arrived(self, path: Path) -> None:
        """Record the checksum of a new file. Raises `WriteFailed` if the file was truncated."""
        name = path.relative_to(self._root).as_posix()
        if name in self._present or not _is_lances(name):
            return
        require_whole(path)
        with write_errors(path):
            self._pending[name] = _sum_of(path)
        self._present.add(name)

    def write(self) -> None:
        """Write the checksums of all new files; they are on the disk when this returns."""
        with write_errors(self._root / SUMS):
            if not self._append(self._pending):  # first write, or another process wrote since, and may have died in it
                known = read_checksums(self._root) | self._pending
                without = [name for name in _files(self._root) if _is_lances(name) and name not in known]
                self._replace(known | {name: _sum_of(self._root / name) for name in without})
        self._pending = {}
        self._is_complete = True

    def prune(self) -> None:
        """Drop the checksums of files that no longer exist."""
        known = read_checksums(self._root)
        left = {name: digest for name, digest in known.items() if (self._root / name).exists()}
        if len(left) < len(known):
            with (self._root / SUMS).open("rb") as file:
                is_ours = self._is_as_left(file)
            self._replace(left)
            if not is_ours:
                self._size = -1  # the next write looks for files without a checksum

    def _append(self, sums: Mapping[str, str]) -> bool:
        """Append to the file that this process left; return False if that is no longer there."""
        path = self._root / SUMS
        try:
            file = path.open("r+b")
        except FileNotFoundError:
            return False
        with file:
            if not self._is_as_left(file):
                return False
            written = self._written.copy()  # on a full disk, nothing of it may be in the file
            added = _with_mark(written, _lines(sums))
            file.write(added)
        self._syncer.sync(path)
        self._size, self._end, self._written = self._size + len(added), added[-_MARK_BYTES:], written
        return True

    def _is_as_left(self, file: BinaryIO) -> bool:
        """Whether this is the file that this process left, and move to its end."""
        if file.seek(0, os.SEEK_END) != self._size:
            return False
        file.seek(-_MARK_BYTES, os.SEEK_END)
        return file.read() == self._end

    def _replace(self, sums: Mapping[str, str]) -> None:
        """Replace the file. A damaged file is continued instead, so that the damage stays visible."""
        kept = b""
        if checksum_fault(self._root) is not None and (self._root / SUMS).exists():
            kept = b"".join(line + b"\n" for line in (self._root / SUMS).read_bytes().split(b"\n")[:-1])
            before = read_checksums(self._root)
            sums = {name: digest for name, digest in sums.items() if before.get(name) != digest}
        written = hashlib.sha256(kept)
        content = kept + _with_mark(written, _lines(sums))
        write_file(self._root / SUMS, content, syncer=self._syncer)
        self._size, self._end, self._written = len(content), content[-_MARK_BYTES:], written


def renew(root: Path, *, syncer: Syncer = DISK) -> None:
    """Record the files as they are now, for callers that have read and compared their content."""
    sums = {name: _sum_of(root / name) for name in _files(root) if _is_lances(name)}
    write_file(root / SUMS, _with_mark(hashlib.sha256(), _lines(sums)), syncer=syncer)


def checksum_fault(root: Path) -> str | None:
    """Return what is wrong with the checksum file itself, or None. Raises `StoreCorrupt` if it cannot be read."""
    if not (root / SUMS).exists():
        return f"{SUMS} is missing"
    if not read_checksums(root):
        return f"{SUMS} is empty"
    read = hashlib.sha256()
    for line in _lines_of(root):
        is_mark = line.startswith(_MARK)
        if is_mark and line != f"{_MARK}{read.hexdigest()}":
            return f"{SUMS} differs from what was written"
        if not is_mark and _LINE.fullmatch(line) is None:
            return f"{SUMS} contains lines that are not checksums"
        read.update(f"{line}\n".encode())
    return None


def files_without_checksum(root: Path) -> list[str]:
    """Return the files without a checksum: a killed write leaves some, and the next write adds them."""
    known = read_checksums(root)
    return sorted(name for name in _files(root) if _is_lances(name) and name not in known)


def checksums_without_file(root: Path) -> list[str]:
    """Return missing files that still have a checksum: a killed clean-up leaves such lines."""
    return sorted(name for name in read_checksums(root) if not (root / name).exists())


def read_checksums(root: Path) -> dict[str, str]:
    """Return the checksums by path; lines that are no checksums are skipped (`checksum_fault` reports them)."""
    found = (_LINE.fullmatch(line) for line in _lines_of(root))
    return {match[2]: match[1] for match in found if match is not None}


def require_newest(root: Path) -> None:
    """Raise `StoreCorrupt` if the newest acknowledged version has lost its manifest, or has a different one."""
    manifests = {name: digest for name, digest in read_checksums(root).items() if _MANIFEST.fullmatch(name)}
    if not manifests:
        return
    newest = min(manifests)  # Lance names them by the distance to the largest possible version
    try:
        found = _sum_of(root / newest)
    except OSError as error:
        raise StoreCorrupt(f"{root / newest} cannot be read: {error.strerror}") from error
    if found != manifests[newest]:
        raise StoreCorrupt(f"{root / newest} differs from what was written, or its line in {SUMS} does")


def find_damage(root: Path) -> Iterator[Damage]:
    """Yield the files that differ from what was written. Reads every file, without Lance.

    `checksum_fault` checks the checksum file itself. A missing file was removed with its version or will be reported by
    Lance, except for the newest manifest.
    """
    try:
        require_newest(root)
    except StoreCorrupt as corrupt:
        yield Damage(file=SUMS, said=corrupt.detail)
        return
    known = read_checksums(root)
    for name, digest in known.items():
        try:
            found = _sum_of(root / name)
        except FileNotFoundError:
            continue
        except OSError as error:
            yield Damage(file=name, said=f"{name} cannot be read: {error.strerror}")
            continue
        if found != digest:
            yield Damage(file=name, said=f"{name} differs from what was written")


def is_of_words(name: str) -> bool:
    """Whether a file belongs to the full-text index: Lance keeps indexes in this folder, and we have no others."""
    return name.startswith("_indices/")


def _with_mark(written: _Digest, lines: bytes) -> bytes:
    """Return the lines followed by their mark, and add both to `written`."""
    written.update(lines)
    mark = f"{_MARK}{written.hexdigest()}\n".encode()
    written.update(mark)
    return lines + mark


def _lines(sums: Mapping[str, str]) -> bytes:
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()


def _lines_of(root: Path) -> list[str]:
    """Return the complete lines; text after the last line break was cut off while it was appended."""
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
    """Whether Lance wrote this file; files directly in the root are ours and are checked in other ways."""
    return "/" in name and name not in _REWRITTEN and not name.rpartition("/")[2].startswith(".")


def _sum_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
