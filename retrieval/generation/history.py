"""Which generations are there, which of them serves, how does one go back to an older one, and which may go?

Going back is to an older *index*, never to older documents: what was written since then is searched beside it, and
what was removed is passed over, so that every answer is of the newest documents whatever generation is current.

Rule 1: the newest `kept` stay, the current one among them; "newest" is by when a generation last was the current one,
so that the one before a rollback does not push out the one that was good. Rule 2: what stopped being current goes only
after two of the longest requests: whoever is about to open it, or has its files mapped, is through by then. Rule 3: a
generation that was rolled back from is kept until the next publication, and nothing folds by itself until then.
"""

from __future__ import annotations

import time
from datetime import datetime

from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import CollectionBusy, InvalidRequest
from winnow.retrieval.files.durable import DISK, Syncer
from winnow.retrieval.files.layout import CollectionFolder, require_created_at
from winnow.retrieval.files.locks import folding, pointing
from winnow.retrieval.generation.cleanup import clean_locked
from winnow.retrieval.generation.listing import never_current
from winnow.retrieval.generation.manifest import Manifest
from winnow.retrieval.generation.open import examined
from winnow.retrieval.generation.pointer import current_name, names, ordinal, point, rolled_back
from winnow.retrieval.generation.publish import publish
from winnow.retrieval.index.planner import ANY_INDEX, IndexWish
from winnow.retrieval.limits import GENERATIONS_KEPT_MIN
from winnow.retrieval.store.contract import StoreSnapshot


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
        require_created_at(folder, made_at)
        manifest = publish(folder, snapshot, identity, wish=wish, made_at=made_at, syncer=syncer)
        clean_locked(folder, kept=kept, now=time.time())
        return manifest


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
    if name in never_current(folder):
        return "its publication was never finished"
    manifest, fault = examined(folder, name)
    if manifest is not None and manifest.embedder != identity:
        return f"it was built with {manifest.embedder.name}"
    return fault
