"""Fences a store: commits that earlier writers still send are refused from then on.

Lance rebases a late commit onto newer versions, and it lands: appends, updates, deletions, index segments and
compactions all do. The exception is a version made by `restore`, with which each of them conflicts. So a new writer
publishes such a version of the newest content.

Lance's own `restore` never conflicts. If a writer pauses before it, the restore lands after its successor's commits and
takes all of them back. So the version is made in a folder of its own, and its manifest is then linked into the store
under the one number that follows its content. If there already is a version of that number, the link fails.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import lance

from winnow.retrieval.files.durable import DISK, SyncedTree, Syncer
from winnow.retrieval.store.lance_errors import committing
from winnow.retrieval.store.lance_files import LANCE_END
from winnow.retrieval.store.torn_commits import VERSIONS, manifest_of, manifests, version_of

TRANSACTIONS: Final = "_transactions"
_LENGTH: Final = struct.Struct("<I")  # bytes of the message that follows
_END: Final = struct.Struct("<q2H4s")  # position of that length, version of the format, LANC
_VERSION_FIELD: Final = b"\x18"  # number 3, an integer


def publish_fence(path: Path, version: int) -> bool:
    """Publish the content of `version` again as the next version; return False if there is a newer one already.

    The new files are not synced yet. Raises `WriteFailed`.
    """
    return _publish(path, version, after=version)


def fence_successor(path: Path, *, above: int, syncer: Syncer = DISK) -> None:
    """Fence a store that is about to take the place of one whose writers may still commit.

    Lance would accept their commits if all versions at their path were older than theirs. So the newest version is
    published again with a number larger than `above`, the largest of the earlier store. Raises `WriteFailed`.
    """
    version = newest_version(path)
    _publish(path, version, after=max(version, above))
    SyncedTree(path, syncer=syncer).sync()


def newest_version(path: Path) -> int:
    """Return the newest version of the store at this path, from the names of its files; 0 without any."""
    found = manifests(path)
    return version_of(found[0].name) if found else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceFiles:
    """The files of a fence, in a folder of their own."""

    transactions: tuple[Path, ...]  # to be published first: late commits look into them for conflicts
    manifest: Path


@contextmanager
def fence_files(manifest: bytes, number: int, *, beside: Path | None = None) -> Iterator[FenceFiles]:
    """Yield the files that publish a version's content, from its manifest, again as the version `number` + 1.

    They are gone after the block. They lie in a new folder in `beside`, by default in the system's for temporary files.
    Raises what Lance raises, and `ValueError` for a manifest in another format.
    """
    with tempfile.TemporaryDirectory(prefix=".fence-", dir=beside) as folder:
        scratch = Path(folder)
        (scratch / VERSIONS).mkdir()
        (scratch / manifest_of(number)).write_bytes(_renumbered(manifest, number))
        dataset = lance.dataset(folder)
        lance.LanceDataset.commit(dataset, lance.LanceOperation.Restore(number), read_version=number)
        transactions = tuple((scratch / TRANSACTIONS).iterdir())
        yield FenceFiles(transactions=transactions, manifest=scratch / manifest_of(number + 1))


def _publish(path: Path, version: int, *, after: int) -> bool:
    """Publish the content of `version` under the number that follows `after`."""
    manifest = path / manifest_of(version)
    with committing(path), fence_files(manifest.read_bytes(), after, beside=path.parent) as made:
        (path / TRANSACTIONS).mkdir(exist_ok=True)
        for transaction in made.transactions:
            os.link(transaction, path / TRANSACTIONS / transaction.name)
        try:
            os.link(made.manifest, path / manifest_of(after + 1))
        except FileExistsError:
            return False
        return True


def _renumbered(manifest: bytes, number: int) -> bytes:
    """Return the manifest with another version.

    A manifest is a protobuf message behind its length; the file's end names its position. Of a field that a message
    holds twice the last one counts, so the version is appended. Raises `ValueError` for any other format.
    """
    head, (start,) = manifest[: -_END.size], _END.unpack(manifest[-_END.size :])[:1]
    if not 0 <= start <= len(head) - _LENGTH.size or not manifest.endswith(LANCE_END):
        raise ValueError("the manifest has no end")
    (length,) = _LENGTH.unpack_from(head, start)
    message = head[start + _LENGTH.size :]
    if len(message) != length:
        raise ValueError("the manifest's length differs")
    message += _VERSION_FIELD + _varint(number)
    return head[:start] + _LENGTH.pack(len(message)) + message + manifest[-_END.size :]


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
