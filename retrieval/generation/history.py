"""Which generations are there, which of them serves, how does one go back to an older one, and which may go?

Going back is to an older *index*, never to older documents: what was written since then is searched beside it, and
what was removed is passed over, so that every answer is of the newest documents whatever generation is current.

Rule 1: the newest `kept` stay, the current one among them; "newest" is by when a generation last was the current one,
so that the one before a rollback does not push out the one that was good. Rule 2: what stopped being current goes only
after two of the longest requests: whoever is about to open it, or has its files mapped, is through by then. Rule 3: a
generation that was rolled back from is kept until the next publication, and nothing folds by itself until then.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import CollectionBusy, InvalidRequest
from winnow.retrieval.files.durable import DISK, Syncer, write_errors
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.locks import folding, is_written, pointing
from winnow.retrieval.files.made import require_made
from winnow.retrieval.generation.pointer import current_name, ordinal, point, rolled_back
from winnow.retrieval.generation.publish import FILES, Manifest, examined, names, publish
from winnow.retrieval.index.planner import ANY_INDEX, IndexWish
from winnow.retrieval.limits import GENERATIONS_KEPT_MIN, TIMEOUT_MS_MAX
from winnow.retrieval.store.contract import StoreSnapshot

RETIRED_SECONDS: Final = 2 * TIMEOUT_MS_MAX / 1000  # what a generation may still be read for once it is not current

_KNOWN: Final = frozenset(
    {
        "lock",
        "fold.lock",
        "current.lock",
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
    """One generation as it lies there."""

    name: str
    is_current: bool
    is_rolled_back: bool  # somebody went back from it
    manifest: Manifest | None  # None: it cannot be read
    bytes: int
    fault: str | None  # None: nothing is wrong with it as far as was looked


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """What a clean-up removed."""

    removed: tuple[str, ...]
    bytes: int


def listed(folder: CollectionFolder, *, thorough: bool = False) -> list[Listed]:
    """Newest first. `thorough` reads every byte; otherwise a flipped bit is not noticed."""
    current, rollback = current_name(folder), rolled_back(folder)
    found = []
    for name in names(folder):
        manifest, fault = examined(folder, name, thorough=thorough)
        found.append(
            Listed(
                name=name,
                is_current=name == current,
                is_rolled_back=rollback is not None
                and ordinal(rollback.to) < ordinal(name) <= ordinal(rollback.newest),
                manifest=manifest,
                bytes=_bytes_in(folder.generations / name),
                fault=fault,
            )
        )
    if current is not None and current not in {each.name for each in found}:
        missing = "its folder is missing"
        found.insert(
            0, Listed(name=current, is_current=True, is_rolled_back=False, manifest=None, bytes=0, fault=missing)
        )
    return found


def roll_back(
    folder: CollectionFolder, identity: EmbedderIdentity, *, to: str | None = None, syncer: Syncer = DISK
) -> str:
    """Makes an older generation current, by default the newest whole one before the current; returns its name.

    It stays so, over restarts, until something is published; a build that is under way gives up. `to` may be newer
    again, which takes a rollback back. Raises `InvalidRequest` where there is no such generation that would serve.
    """
    chosen = to or _one_before(folder, identity)
    fault = _unfit(folder, chosen, identity)
    if fault is not None:
        raise InvalidRequest(f"{folder.path.name} cannot go to generation {chosen}: {fault}")
    with pointing(folder):
        current, earlier = current_name(folder), rolled_back(folder)
        if chosen == current:
            raise InvalidRequest(f"{chosen} is the current generation of {folder.path.name} already")
        if not (folder.generations / chosen).is_dir():
            raise CollectionBusy(f"{folder.path.name} was cleaned up while {chosen} was looked at")
        newest = max(filter(None, (current, earlier.newest if earlier else None)), key=ordinal, default=chosen)
        point(folder, chosen, over=newest, syncer=syncer)
    return chosen


def fold(
    folder: CollectionFolder,
    snapshot: StoreSnapshot,
    identity: EmbedderIdentity,
    *,
    wish: IndexWish = ANY_INDEX,
    kept: int = GENERATIONS_KEPT_MIN,
    made_at: datetime | None = None,
    wait_seconds: float = 0.0,
    syncer: Syncer = DISK,
) -> Manifest:
    """Publishes a generation of the snapshot, and removes what is too old then. Writers are not kept waiting.

    `made_at` is when the collection was made that this is meant for; None compares nothing. Raises `CollectionBusy`
    where another one lies there, before anything is built and before anything is published; where another process
    builds for longer than `wait_seconds`; or where the pointer was moved meanwhile; `MemoryTooSmall`, `WriteFailed`,
    `GenerationCorrupt`, `StoreCorrupt`.
    """
    with folding(folder, wait_seconds=wait_seconds):
        require_made(folder, made_at)
        manifest = publish(folder, snapshot, identity, wish=wish, made_at=made_at, syncer=syncer)
        _clean(folder, kept=kept, now=time.time())
        return manifest


def clean(
    folder: CollectionFolder, *, kept: int = GENERATIONS_KEPT_MIN, wait_seconds: float = 0.0, now: float | None = None
) -> Cleaned:
    """Removes generations that are old enough, and what was never finished. Raises `CollectionBusy`, `WriteFailed`."""
    with folding(folder, wait_seconds=wait_seconds):
        return _clean(folder, kept=kept, now=time.time() if now is None else now)


def clean_damaged(folder: CollectionFolder, *, wait_seconds: float = 0.0) -> Cleaned:
    """Removes generations that no longer are what was published; the current one only somebody else can replace."""
    with folding(folder, wait_seconds=wait_seconds), pointing(folder):
        damaged = [each.name for each in listed(folder, thorough=True) if each.fault and not each.is_current]
        return _removed([folder.generations / name for name in damaged], below=folder.path)


def left_over(folder: CollectionFolder) -> list[Path]:
    """Files and folders that nothing refers to: a process that was killed left them, or somebody put them there."""
    if not folder.path.is_dir():
        return []
    used = {folder.restoring.path.name} if is_written(folder.restoring) else set()
    ours = [path for path in folder.path.iterdir() if path.name not in _KNOWN | used]
    if not folder.generations.is_dir():
        return sorted(ours)
    known = set(names(folder)) - set(_never_current(folder))
    within = [path for name in known for path in (folder.generations / name).glob("*") if path.name not in FILES]
    return sorted([*ours, *within, *(path for path in folder.generations.iterdir() if path.name not in known)])


def remove_left_over(folder: CollectionFolder, *, wait_seconds: float = 0.0) -> Cleaned:
    """All that `left_over` names; nobody builds meanwhile. The caller holds the writer's lock as well."""
    with folding(folder, wait_seconds=wait_seconds), pointing(folder):
        return _removed(left_over(folder), below=folder.path)


def _one_before(folder: CollectionFolder, identity: EmbedderIdentity) -> str:
    current = current_name(folder)
    for name in names(folder):
        if (current is None or ordinal(name) < ordinal(current)) and _unfit(folder, name, identity) is None:
            return name
    raise InvalidRequest(f"{folder.path.name} has no whole generation before {current or 'the first'} to go back to")


def _unfit(folder: CollectionFolder, name: str, identity: EmbedderIdentity) -> str | None:
    """Why this generation would not serve. Reads all of it: who goes back to a damaged one would go nowhere."""
    if name not in names(folder):
        return f"there is none; there are {', '.join(names(folder)) or 'none at all'}"
    if name in _never_current(folder):
        return "its publication was never finished"
    manifest, fault = examined(folder, name)
    if manifest is not None and manifest.embedder != identity:
        return f"it was built with {manifest.embedder.name}"
    return fault


def _never_current(folder: CollectionFolder) -> Sequence[str]:
    """Generations whose publication was cut off before the pointer moved, or given up."""
    current, rollback = current_name(folder), rolled_back(folder)
    if current is None:  # it is damaged: any of them may have been
        return ()
    acknowledged = max(ordinal(current), ordinal(rollback.newest) if rollback else 0)
    return [name for name in names(folder) if ordinal(name) > acknowledged]


def _clean(folder: CollectionFolder, *, kept: int, now: float) -> Cleaned:
    """The caller is the one who builds."""
    if not folder.generations.is_dir():
        return Cleaned(removed=(), bytes=0)
    with pointing(folder):
        unfinished = sorted(folder.generations.glob("*.tmp"))
        gone = [folder.generations / name for name in (*_never_current(folder), *_too_old(folder, kept=kept, now=now))]
        return _removed([*unfinished, *gone], below=folder.path)


def _too_old(folder: CollectionFolder, *, kept: int, now: float) -> list[str]:
    current, rollback = current_name(folder), rolled_back(folder)
    if current is None:
        return []
    retired = {
        name: (folder.generations / name).stat().st_mtime
        for name in names(folder)
        if name != current and not (rollback and ordinal(name) > ordinal(current))
    }
    whole_first = sorted(
        retired, key=lambda name: (examined(folder, name, thorough=False)[1] is None, retired[name]), reverse=True
    )
    return [name for name in whole_first[kept - 1 :] if now - retired[name] > RETIRED_SECONDS]


def _removed(paths: Sequence[Path], *, below: Path) -> Cleaned:
    """Folders lose their name before their files, so that nobody finds half of one under it; on the disk, too."""
    sizes = [_bytes_in(path) for path in paths]
    for path in paths:
        with write_errors(path):
            if not path.is_dir():
                path.unlink()
                continue
            doomed = path if path.suffix == ".tmp" else path.with_name(f"{path.name}.tmp")
            path.rename(doomed)
            DISK.sync(doomed.parent)
            shutil.rmtree(doomed)
    return Cleaned(removed=tuple(str(path.relative_to(below)) for path in paths), bytes=sum(sizes))


def _bytes_in(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())
