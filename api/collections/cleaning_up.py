"""Removes old versions and old generations of open collections while nothing writes to them.

In a bucket also what interrupted creations and removals of collections left there.

A write cleans up as well, but only what is old enough by then. After the last write of a day, the files that it and
those before it replaced would stay until the next one. What a reader may still use stays (retrieval/store/retention.py,
retrieval/generation/history.py), and so does everything while a writer is at work.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import Final

from winnow.api.collections.bucket.corpora import remove_abandoned
from winnow.api.collections.bucket.index_cache import make_room
from winnow.api.collections.data_folder import DataFolder
from winnow.api.collections.open_collections import OpenCollection, OpenCollections
from winnow.retrieval.concurrency.tasks import repeat, run_to_completion
from winnow.retrieval.errors import CollectionBusy, CollectionNotFound, WinnowError
from winnow.retrieval.generation.cleanup import clean, has_retired

LOOK_SECONDS: Final = 30.0  # between two checks of all collections

log = logging.getLogger(__name__)


class CleaningUp:
    """Cleans up the collections that this process has open."""

    def __init__(self, collections: OpenCollections, *, kept: int) -> None:
        """`kept` is the number of generations that stay."""
        self._collections = collections
        self._kept = kept
        self._problems: dict[OpenCollection, str] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Check repeatedly until the block ends."""
        looking = asyncio.create_task(self._look_forever())
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def look(self) -> int:
        """Check every open collection once; return the freed bytes. Problems are logged."""
        freed = 0
        await run_to_completion(self._clean_bucket)
        known = self._collections.opened()
        self._problems = {each: problem for each, problem in self._problems.items() if each in known}
        for opened in known:
            try:
                freed += await run_to_completion(self._clean, opened)
            except (CollectionBusy, CollectionNotFound):
                continue  # a writer is at work, or it was removed
            except WinnowError as error:
                if self._problems.get(opened) != error.message:
                    log.warning("collection %s: old files stay: %s", opened.collection.name, error.message)
                self._problems[opened] = error.message
        return freed

    async def _look_forever(self) -> None:
        await asyncio.sleep(LOOK_SECONDS)  # a start has other work
        await repeat(self.look, pause_seconds=LOOK_SECONDS, log=log, problem="cleaning up failed")

    def _clean_bucket(self) -> None:
        disk = self._collections.disk
        if disk.bucket is None:
            return
        try:
            finish_unfinished(disk)
            make_room(disk.layout, 0, bytes_max=disk.bucket.root.cache_bytes_max)
        except WinnowError as error:
            log.warning("what is left in the bucket, or too much in its cache, stays: %s", error.message)

    def _clean(self, opened: OpenCollection) -> int:
        """Clean up a collection until a writer is at work, or waits. Blocks. Raises `CollectionBusy`."""
        if not opened.folder.path.is_dir():
            return 0
        freed = 0
        while opened.store.has_superseded() and (removed := self._remove_some(opened)):
            freed += removed
        return freed + remove_retired(opened, kept=self._kept)

    def _remove_some(self, opened: OpenCollection) -> int:
        mine = opened.collection
        with self._collections.disk.writing(mine.tenant, mine.name):
            self._collections.require_still(opened)
            if opened.searchable.newest is not None:
                opened.searchable.follow()  # no search of this process may begin with an old version
            return opened.store.remove_old_versions()


def finish_unfinished(disk: DataFolder) -> None:
    """Remove what interrupted creations and removals of collections left in the bucket, if there is one.

    A name that is being written to is left for later. Raises `CatalogUnavailable`, `StoreUnavailable`.
    """
    if disk.bucket is None:
        return
    for tenant, name in disk.catalog.collections.unfinished():
        with contextlib.suppress(CollectionBusy), disk.writing(tenant, name):
            disk.catalog.collections.abandon(tenant, name)
    remove_abandoned(disk.bucket, disk.catalog.collections)


def remove_retired(opened: OpenCollection, *, kept: int) -> int:
    """Remove generations that are old enough; return the freed bytes. Raises `CollectionBusy`."""
    if not has_retired(opened.folder, kept=kept, now=time.time()):
        return 0
    return clean(opened.folder, kept=kept, lease=opened.lease).bytes
