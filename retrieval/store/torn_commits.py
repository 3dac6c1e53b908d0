"""Finds the versions of a store, and sets aside commits that a power cut tore before they were acknowledged."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from winnow.retrieval.store.checksums import require_newest
from winnow.retrieval.store.lance_errors import reading
from winnow.retrieval.store.lance_files import LANCE_END

COMMITS_UNSYNCED_MAX: Final = 2  # Lance joins fragments in two commits; the first reserves their numbers
VERSIONS: Final = "_versions"
_LARGEST_VERSION: Final = (1 << 64) - 1  # Lance names a version's manifest by its distance to this

_log = logging.getLogger(__name__)


def manifests(path: Path) -> list[Path]:
    """Return the manifests, newest first: Lance names them by the distance to the largest possible version."""
    return sorted((path / VERSIONS).glob("*.manifest"))


def manifest_of(version: int) -> str:
    """Return the place of a version's manifest, relative to the store."""
    return f"{VERSIONS}/{_LARGEST_VERSION - version:020d}.manifest"


def version_of(manifest: str) -> int:
    """Return the version of the manifest at this place."""
    return _LARGEST_VERSION - int(manifest.rpartition("/")[2].removesuffix(".manifest"))


def set_torn_commits_aside(path: Path) -> None:
    """Set aside manifests that a power cut left without their end. They were never synced, so never acknowledged.

    Otherwise the whole store could not be opened. An acknowledged manifest has a checksum: a fault in that one is
    damage and is reported as such. Lance checks manifests that have their end.
    """
    require_newest(path)
    with reading(path):
        for manifest in manifests(path)[:COMMITS_UNSYNCED_MAX]:
            if manifest.read_bytes().endswith(LANCE_END):
                return
            _log.warning("%s was truncated before it was acknowledged; the previous version is current", manifest)
            manifest.replace(manifest.with_suffix(".torn"))
