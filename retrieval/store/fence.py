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
import shutil
import tempfile
from pathlib import Path
from typing import Final

import lance

from winnow.retrieval.files.durable import DISK, SyncedTree, Syncer
from winnow.retrieval.store.lance_errors import committing
from winnow.retrieval.store.torn_commits import VERSIONS, manifests

TRANSACTIONS: Final = "_transactions"
LARGEST_VERSION: Final = (1 << 64) - 1  # Lance names a version's manifest by its distance to this


def publish_fence(path: Path, version: int) -> bool:
    """Publish the content of `version` again as the next version; return False if there is a newer one already.

    The new files are not synced yet. Raises `WriteFailed`.
    """
    return _publish(path, version, over=_manifest(path, version))


def fence_successor(path: Path, *, before: Path, syncer: Syncer = DISK) -> None:
    """Fence a store that is about to take the place of the one at `before`, whose writers may still commit.

    Lance would accept their commits if all versions at their path were older than theirs. So the newest version gets a
    number above all of `before`. Raises `WriteFailed`.
    """
    newest = max(manifests(path)[:1] + manifests(before)[:1], key=_version_of)
    _publish(path, _version_of(manifests(path)[0]), over=newest)
    SyncedTree(path, syncer=syncer).sync()


def _publish(path: Path, version: int, *, over: Path) -> bool:
    """Publish the content of `version` under the number after that of the manifest `over`."""
    number = _version_of(over)
    with committing(path), tempfile.TemporaryDirectory(prefix=".fence-", dir=path.parent) as beside:
        scratch = Path(beside)
        (scratch / VERSIONS).mkdir()
        shutil.copyfile(over, _manifest(scratch, number))
        dataset = lance.dataset(beside)
        if number != version:
            _manifest(scratch, number).unlink()  # the version is taken from the dataset, and the content from below
            shutil.copyfile(_manifest(path, version), _manifest(scratch, version))
        lance.LanceDataset.commit(dataset, lance.LanceOperation.Restore(version), read_version=number)
        (path / TRANSACTIONS).mkdir(exist_ok=True)
        for transaction in (scratch / TRANSACTIONS).iterdir():  # first: late commits look into it for conflicts
            os.link(transaction, path / TRANSACTIONS / transaction.name)
        try:
            os.link(_manifest(scratch, number + 1), _manifest(path, number + 1))
        except FileExistsError:
            return False
        return True


def _manifest(path: Path, version: int) -> Path:
    return path / VERSIONS / f"{LARGEST_VERSION - version:020d}.manifest"


def _version_of(manifest: Path) -> int:
    return LARGEST_VERSION - int(manifest.stem)
