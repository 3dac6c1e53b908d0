"""Lists the generations of a collection, and files that belong to none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.locks import is_written
from winnow.retrieval.files.sizes import bytes_below
from winnow.retrieval.generation.manifest import GENERATION_FILES, Manifest
from winnow.retrieval.generation.open import check_generation
from winnow.retrieval.generation.pointer import current_name, names, ordinal, rolled_back
from winnow.retrieval.store.contract import Store

_KNOWN: Final = frozenset(
    {
        "lock",
        "lock.next",
        "fold.lock",
        "fold.lock.next",
        "current.lock",
        "current.lock.next",
        "in-use.lock",
        "made",
        "collection.json",
        "corpus.lance",
        "generations",
        "current",
        "rolled-back",
        "rejects.jsonl",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One generation in the listing."""

    name: str
    is_current: bool
    is_rolled_back: bool  # it was rolled back from
    manifest: Manifest | None  # None: it cannot be read
    bytes: int
    fault: str | None  # None: no fault was found by this check


def listed(folder: CollectionFolder, *, thorough: bool = False, store: Store | None = None) -> list[Listed]:
    """Return all generations, newest first. `thorough` reads every byte; otherwise flipped bits go unnoticed.

    Vectors that a generation reads from the store are compared only if the store is given as well.
    """
    current, rollback = current_name(folder), rolled_back(folder)
    found = []
    for name in names(folder):
        manifest, fault = check_generation(folder, name, thorough=thorough, store=store)
        found.append(
            Listed(
                name=name,
                is_current=name == current,
                is_rolled_back=rollback is not None
                and ordinal(rollback.to) < ordinal(name) <= ordinal(rollback.newest),
                manifest=manifest,
                bytes=bytes_below(folder.generations / name),
                fault=fault,
            )
        )
    if current is not None and current not in {each.name for each in found}:
        missing = "its folder is missing"
        found.insert(
            0, Listed(name=current, is_current=True, is_rolled_back=False, manifest=None, bytes=0, fault=missing)
        )
    return found


def left_over(folder: CollectionFolder) -> list[Path]:
    """Return unreferenced files and folders: left by a killed process, or put there by someone."""
    if not folder.path.is_dir():
        return []
    used = {each.path.name for each in folder.restorings() if is_written(each)}
    ours = [path for path in folder.path.iterdir() if path.name not in _KNOWN | used]
    if not folder.generations.is_dir():
        return sorted(ours)
    known = set(names(folder)) - set(never_current(folder))
    within = [
        path for name in known for path in (folder.generations / name).glob("*") if path.name not in GENERATION_FILES
    ]
    return sorted([*ours, *within, *(path for path in folder.generations.iterdir() if path.name not in known)])


def never_current(folder: CollectionFolder) -> Sequence[str]:
    """Return generations whose publication was interrupted before the pointer moved, or was abandoned."""
    current, rollback = current_name(folder), rolled_back(folder)
    if current is None:  # the pointer is damaged: any of them may have been current
        return ()
    acknowledged = max(ordinal(current), ordinal(rollback.newest) if rollback else 0)
    return [name for name in names(folder) if ordinal(name) > acknowledged]
