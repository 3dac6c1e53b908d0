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

from winnow.retrieval.store.lance_errors import committing

VERSIONS: Final = "_versions"
TRANSACTIONS: Final = "_transactions"
LARGEST_VERSION: Final = (1 << 64) - 1  # Lance names a version's manifest by its distance to this


def publish_fence(path: Path, version: int) -> bool:
    """Publish the content of `version` again as the next version; return False if there is a newer one already.

    The new files are not synced yet. Raises `WriteFailed`.
    """
    with committing(path), tempfile.TemporaryDirectory(prefix=".fence-", dir=path.parent) as beside:
        scratch = Path(beside)
        (scratch / VERSIONS).mkdir()
        shutil.copyfile(_manifest(path, version), _manifest(scratch, version))
        lance.dataset(beside).restore()  # type: ignore[no-untyped-call]  # reads and writes only the manifest
        (path / TRANSACTIONS).mkdir(exist_ok=True)
        for transaction in (scratch / TRANSACTIONS).iterdir():  # first: late commits look into it for conflicts
            os.link(transaction, path / TRANSACTIONS / transaction.name)
        try:
            os.link(_manifest(scratch, version + 1), _manifest(path, version + 1))
        except FileExistsError:
            return False
        return True


def _manifest(path: Path, version: int) -> Path:
    return path / VERSIONS / f"{LARGEST_VERSION - version:020d}.manifest"
