"""Removes generations that no longer serve: by retention, leftover files, and damaged ones."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from winnow.retrieval.errors import WriteFailed
from winnow.retrieval.files.durable import DISK, write_errors
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.lease import ONE_HOST, WriterLease
from winnow.retrieval.files.sizes import bytes_below, size_of
from winnow.retrieval.generation.listing import left_over, listed, never_current
from winnow.retrieval.generation.manifest import Manifest
from winnow.retrieval.generation.open import check_generation
from winnow.retrieval.generation.pointer import PointerMove, current_name, moving, names, ordinal, rolled_back
from winnow.retrieval.index.planner import Recipe
from winnow.retrieval.limits import GENERATIONS_KEPT_MIN, TIMEOUT_MS_MAX

RETIRED_SECONDS: Final = (
    2 * TIMEOUT_MS_MAX / 1000
)  # how long a generation may still be read after it stopped being current


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """What a clean-up removed."""

    removed: tuple[str, ...]
    bytes: int


def clean(
    folder: CollectionFolder,
    *,
    kept: int = GENERATIONS_KEPT_MIN,
    wait_seconds: float = 0.0,
    now: float | None = None,
    lease: WriterLease = ONE_HOST,
) -> Cleaned:
    """Remove generations that are old enough, and unfinished ones. Raises `CollectionBusy`, `WriteFailed`."""
    with lease.folding(folder, wait_seconds=wait_seconds):
        return clean_locked(folder, lease, kept=kept, now=time.time() if now is None else now)


def has_retired(folder: CollectionFolder, *, kept: int, now: float) -> bool:
    """Whether `clean` would remove generations by their age."""
    return bool(_too_old(folder, kept=kept, now=now))


def clean_damaged(folder: CollectionFolder, *, wait_seconds: float = 0.0, lease: WriterLease = ONE_HOST) -> Cleaned:
    """Remove damaged generations; the current one stays, because it must be replaced first."""
    with lease.folding(folder, wait_seconds=wait_seconds), moving(folder, lease) as move:
        damaged = [each.name for each in listed(folder, thorough=True) if each.fault and not each.is_current]
        return _remove([folder.generations / name for name in damaged], move)


def remove_left_over(folder: CollectionFolder, *, wait_seconds: float = 0.0, lease: WriterLease = ONE_HOST) -> Cleaned:
    """Remove everything that `left_over` lists, without concurrent builds. The caller also holds the writer's lock."""
    with lease.folding(folder, wait_seconds=wait_seconds), moving(folder, lease) as move:
        gone = left_over(folder)
        lease.renew()  # so nothing of it is another host's that has taken over
        lease.still_folding()
        return _remove(gone, move)


def clean_locked(folder: CollectionFolder, lease: WriterLease, *, kept: int, now: float) -> Cleaned:
    """Clean up; the caller holds the lock for building."""
    if not folder.generations.is_dir():
        return Cleaned(removed=(), bytes=0)
    with moving(folder, lease) as move:
        unfinished = sorted(folder.generations.glob("*.tmp"))
        gone = [folder.generations / name for name in (*never_current(folder), *_too_old(folder, kept=kept, now=now))]
        lease.still_folding()  # so nothing unfinished is another host's that has taken over
        return _remove([*unfinished, *gone], move)


def _too_old(folder: CollectionFolder, *, kept: int, now: float) -> list[str]:
    current, rollback = current_name(folder), rolled_back(folder)
    if current is None:
        return []
    retired: dict[str, float] = {}
    for name in names(folder):
        if name != current and not (rollback and ordinal(name) > ordinal(current)):
            with suppress(FileNotFoundError):  # another host has removed it
                retired[name] = (folder.generations / name).stat().st_mtime
    checks = {name: check_generation(folder, name, thorough=False) for name in (current, *retired)}
    whole_first = sorted(retired, key=lambda name: (checks[name][1] is None, retired[name]), reverse=True)
    copies = _copies([checks[name][0] for name in retired]) if _is_in_store(checks[current]) else set()
    beyond = [name for place, name in enumerate(whole_first) if place >= kept - 1 or name in copies]
    return [name for name in beyond if now - retired[name] > RETIRED_SECONDS]


def _is_in_store(check: tuple[Manifest | None, str | None]) -> bool:
    manifest, fault = check
    return manifest is not None and fault is None and manifest.is_in_store


def _copies(manifests: Iterable[Manifest | None]) -> set[str]:
    """Return the exact generations of the format before, which hold every vector a second time.

    An exact generation of today gives the same answers without, so they need not stay to go back to.
    """
    return {each.name for each in manifests if each and not each.is_in_store and each.index.recipe is Recipe.EXACT}


def _remove(paths: Sequence[Path], move: PointerMove) -> Cleaned:
    """Rename folders before removing their files, also on the disk, so that no name leads to half of one."""
    sizes = [size_of(path) + bytes_below(path) for path in paths]
    for path in paths:
        move.require_newest()  # a later move may have made it current
        try:
            _remove_one(path)
        except WriteFailed:
            move.require_newest()  # or have removed it
            raise
    return Cleaned(removed=tuple(str(path.relative_to(move.folder.path)) for path in paths), bytes=sum(sizes))


def _remove_one(path: Path) -> None:
    with write_errors(path):
        if not path.is_dir():
            path.unlink()
            return
        doomed = path if path.suffix == ".tmp" else path.with_name(f"{path.name}.tmp")
        path.rename(doomed)
        DISK.sync(doomed.parent)
        shutil.rmtree(doomed)
