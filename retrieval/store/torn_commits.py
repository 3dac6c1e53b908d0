"""Which versions of a store are there, and which of them did a power cut tear before they were acknowledged?"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from winnow.retrieval.store.checksums import require_newest
from winnow.retrieval.store.lance_errors import reading
from winnow.retrieval.store.lance_files import LANCE_END

COMMITS_UNSYNCED_MAX: Final = 2  # Lance joins fragments in two commits, of which the first reserves their numbers
VERSIONS: Final = "_versions"

_log = logging.getLogger(__name__)


def manifests(path: Path) -> list[Path]:
    """Newest first: Lance names them by the distance to the largest version there can be."""
    return sorted((path / VERSIONS).glob("*.manifest"))


def set_torn_commits_aside(path: Path) -> None:
    """A power cut may leave the newest manifests without their ends. They were never synced, hence never acknowledged.

    Without this the whole store could not be opened for them. A manifest that was acknowledged has a checksum: what is
    wrong with that one is damage, and reported as such. One that has its end is Lance's to judge.
    """
    require_newest(path)
    with reading(path):
        for manifest in manifests(path)[:COMMITS_UNSYNCED_MAX]:
            if manifest.read_bytes().endswith(LANCE_END):
                return
            _log.warning("%s was cut off before it was acknowledged; the version before it is current", manifest)
            manifest.replace(manifest.with_suffix(".torn"))
