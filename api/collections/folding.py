"""Builds new generations while the service answers (folding).

    by size    enough chunks were written or removed since the index was built
    by age     fewer were, but long ago
    repair     the current generation is damaged
    asked      someone requested it

One build at a time in this process, and one per collection among all processes (retrieval/files/locks.py). It runs in a
separate process (api/collections/fold_process.py), and pauses for as long as it worked. Failed builds are retried with
increasing delays and harm nothing: chunks outside a generation are compared one by one. A collection that was rolled
back is left alone until a build is requested.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from winnow.api.collections.fold_process import Fold, Folded, FoldEnded, fold_in_process
from winnow.api.collections.open_collections import OpenCollection, OpenCollections
from winnow.retrieval.concurrency.tasks import repeat
from winnow.retrieval.errors import CollectionBusy, CollectionNotFound, StorageError, WinnowError
from winnow.retrieval.generation.pointer import current_name, rolled_back
from winnow.retrieval.index.planner import ANY_INDEX, IndexWish
from winnow.retrieval.search.reader import Searcher

LOOK_SECONDS: Final = 1.0  # between two checks of all collections
BUSY_SECONDS: Final = 5.0  # pause for a collection whose index another process is building
BACKOFF_SECONDS_MIN: Final = 5.0  # after the first failure; doubled after each further one
BACKOFF_SECONDS_MAX: Final = 600.0

log = logging.getLogger(__name__)

Build = Callable[[Fold], Awaitable[Folded]]


class Why(StrEnum):
    """The reason for a build."""

    SIZE = "size"
    AGE = "age"
    REPAIR = "repair"
    ASKED = "asked"


class Outcome(StrEnum):
    """The outcome of a build."""

    FOLDED = "folded"
    ELSEWHERE = "elsewhere"  # another process builds it, or it was rolled back or removed meanwhile
    FAILED = "failed"


@dataclass(slots=True, kw_only=True)
class Standing:
    """The state of one collection."""

    generation: str | None = None  # generation open at the last check
    behind_since: float | None = None  # clock time; None: nothing is unfolded
    rests_until: float = 0.0
    why: Why | None = None  # None: nothing is being built
    failures: int = 0  # in a row
    problem: str | None = None  # of the last failure


@dataclass(slots=True, kw_only=True)
class FoldFigures:
    """Builds of this process, for the metrics."""

    outcomes: dict[Outcome, int]
    seconds: float = 0.0


class Folding:
    """Builds indexes for the collections that this process has open."""

    def __init__(
        self,
        *,
        collections: OpenCollections,
        chunks_max: int,
        seconds_max: float,
        kept: int,
        wish: IndexWish = ANY_INDEX,
        build: Build = fold_in_process,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """With `chunks_max` 0, indexes are only built on request."""
        self._collections = collections
        self._chunks_max = chunks_max
        self._seconds_max = seconds_max
        self._kept = kept
        self._wish = wish
        self._build = build
        self._clock = clock
        self._turn = asyncio.Lock()
        self._standings: dict[OpenCollection, Standing] = {}
        self._asked: dict[OpenCollection, asyncio.Task[str]] = {}
        self.figures = FoldFigures(outcomes=dict.fromkeys(Outcome, 0))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Check repeatedly until the block ends; a build in progress is then abandoned."""
        looking = None
        if self._chunks_max:
            looking = asyncio.create_task(
                repeat(self.look, pause_seconds=LOOK_SECONDS, log=log, problem="checking the indexes failed")
            )
        try:
            yield
        finally:
            tasks = [task for task in (looking, *self._asked.values()) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def is_building(self) -> bool:
        return self._turn.locked()

    def standing(self, opened: OpenCollection) -> Standing:
        return self._standings.setdefault(opened, Standing())

    def ask(self, opened: OpenCollection) -> asyncio.Task[str]:
        """Build a generation now, in any case; return its name, or raise what building raises.

        Requests before the build begins share it. It continues even if nothing waits for it any more.
        """
        task = self._asked.get(opened)
        if task is None:
            task = self._asked[opened] = asyncio.create_task(self._fold_on_request(opened))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # it was logged where it happened
        return task

    async def look(self) -> None:
        """Check every open collection once, and build what is due."""
        known = self._collections.opened()
        self._standings = {each: standing for each, standing in self._standings.items() if each in known}
        for opened in known:
            try:
                view, is_held = await asyncio.to_thread(_state_of, opened)
            except WinnowError:
                continue  # empty or unreadable: searches and /readyz report which
            why = self._due(view, self.standing(opened))
            if why is not None and (why is Why.REPAIR or not is_held):
                with contextlib.suppress(WinnowError, FoldEnded, OSError):  # logged by `_fold`
                    async with self._turn:
                        await self._fold(opened, why)

    def _due(self, view: Searcher, standing: Standing) -> Why | None:
        now = self._clock()
        if not view.unfolded:
            standing.behind_since = None
        elif standing.behind_since is None or standing.generation != view.generation:
            standing.behind_since = now
        standing.generation = view.generation
        if now < standing.rests_until:
            return None
        if view.fallback_from is not None:
            return Why.REPAIR
        if view.unfolded > self._chunks_max:
            return Why.SIZE
        is_old = standing.behind_since is not None and now - standing.behind_since >= self._seconds_max
        return Why.AGE if is_old else None

    async def _fold_on_request(self, opened: OpenCollection) -> str:
        async with self._turn:
            del self._asked[opened]  # later requests also want what is written meanwhile
            return await self._fold(opened, Why.ASKED)

    async def _fold(self, opened: OpenCollection, why: Why) -> str:
        """Build, log the outcome, and raise what it raised."""
        standing, name, began = self.standing(opened), opened.collection.name, self._clock()
        standing.why = why
        outcome = Outcome.FAILED
        try:
            folded = await self._build_now(opened, takes_any=why in {Why.SIZE, Why.AGE})
            outcome = Outcome.FOLDED
            await asyncio.to_thread(opened.searchable.refresh)
        except (CollectionBusy, CollectionNotFound) as busy:
            outcome = Outcome.ELSEWHERE
            standing.rests_until = self._clock() + BUSY_SECONDS
            log.info("collection %s: %s", name, busy.message)
            raise
        except (WinnowError, FoldEnded, OSError) as error:
            self._note_failure(standing, name, error.message if isinstance(error, WinnowError) else str(error))
            raise
        finally:
            standing.why = None
            self.figures.outcomes[outcome] += 1
            self.figures.seconds += self._clock() - began
        took = self._clock() - began
        standing.failures, standing.problem = 0, None
        standing.rests_until = self._clock() + took
        log.info(
            "collection %s: %s of %d vectors was built in %.1f s (%s)", name, folded.generation, folded.count, took, why
        )
        return folded.generation

    async def _build_now(self, opened: OpenCollection, *, takes_any: bool) -> Folded:
        """Build in a process. Raises what `require_still` does, and no error of files, if the collection is gone."""
        disk = self._collections.disk
        try:
            return await self._build(
                Fold(
                    folder=opened.folder.path,
                    tenant=opened.collection.tenant,
                    catalog_url=disk.catalog_url,
                    bucket=disk.bucket.root if disk.bucket else None,
                    identity=opened.collection.embedder,
                    made_at=opened.collection.created_at,
                    wish=self._wish,
                    kept=self._kept,
                    takes_any=takes_any,
                    seen=await asyncio.to_thread(current_name, opened.folder),
                )
            )
        except StorageError:
            await asyncio.to_thread(self._collections.require_still, opened)
            raise

    def _note_failure(self, standing: Standing, name: str, problem: str) -> None:
        standing.failures += 1
        standing.problem = problem
        pause = min(BACKOFF_SECONDS_MIN * 2 ** (standing.failures - 1), BACKOFF_SECONDS_MAX)
        standing.rests_until = self._clock() + pause
        log.error("collection %s: building a generation failed, retrying in %.0f s: %s", name, pause, problem)


def _state_of(opened: OpenCollection) -> tuple[Searcher, bool]:
    """Return the view, and whether it was rolled back. Blocks. Raises what opening a view raises."""
    if not opened.folder.path.is_dir():
        raise CollectionNotFound(opened.collection.name)
    return opened.searchable.view(), rolled_back(opened.folder) is not None
