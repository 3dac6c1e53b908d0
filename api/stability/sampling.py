"""Records a share of live searches: the first places of each, and what the answer was made with.

Rule 1: an answer is sent before anything is done for its sample. Rule 2: what waits to be written is bounded; what
exceeds it, or cannot be written, is dropped and counted. Rule 3: only searches of a tenant's own collections are
recorded, and texts only if the tenant allows that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from winnow.api.search.records import Answer, Question
from winnow.api.stability.states import Models, places_of, state_of
from winnow.retrieval.catalog.sql.stability_samples import SqlSamples, query_digest
from winnow.retrieval.catalog.stability import PLACES_MAX, Sample, SamplingRule
from winnow.retrieval.errors import StorageError, UnavailableError
from winnow.retrieval.tenancy import TenantName

UNWRITTEN_MAX: Final = 1_000  # samples; a second of a busy service
ROUND_SECONDS: Final = 1.0  # interval of reading rules and writing samples
FORGET_SECONDS: Final = 3_600.0  # interval of deleting samples that are too old

log = logging.getLogger(__name__)


class SampleOutcome(StrEnum):
    """What became of a selected search."""

    WRITTEN = "written"
    DROPPED = "dropped"  # too many waited, or the catalog could not be written


class Sampling:
    """Records searches of this process. Must be used from one event loop."""

    def __init__(self, samples: SqlSamples, models: Models, *, draw: Callable[[], float] | None = None) -> None:
        """`draw` returns numbers in [0, 1); a search is selected if one is below the share."""
        self._samples = samples
        self._models = models
        self._draw = draw or random.Random().random  # noqa: S311  the selection is no secret
        self._rules: Mapping[TenantName, SamplingRule] = {}
        self._unwritten: deque[Sample] = deque()
        self._writing = asyncio.Lock()
        self.outcomes: Counter[SampleOutcome] = Counter(dict.fromkeys(SampleOutcome, 0))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write every second until the block ends, and once more then."""
        stopping = asyncio.Event()
        keeping = asyncio.create_task(self._keep_until(stopping))
        try:
            yield
        finally:
            stopping.set()
            await keeping

    async def answered(self, question: Question, answer: Answer) -> None:
        """Record an answered search if it is selected; call it after the answer was sent. Waits for nothing."""
        rule = self._rules.get(question.tenant)
        owner, _, collection = question.collection.rpartition("/")
        if rule is None or owner not in ("", question.tenant) or self._draw() >= rule.share:
            return
        if len(self._unwritten) >= UNWRITTEN_MAX:
            self.outcomes[SampleOutcome.DROPPED] += 1
            return
        self._unwritten.append(
            Sample(
                tenant=question.tenant,
                collection=collection,
                at=datetime.now(UTC),
                query_digest=query_digest(rule, _asked(question)),
                query=question.query if rule.keep_queries else None,
                state=state_of(question, answer, self._models),
                places=places_of(answer.ranking.ranked[:PLACES_MAX]),
                degraded=None if answer.degraded is None else answer.degraded.reason,
            )
        )

    async def refresh(self) -> None:
        """Write what waits, and read the rules: after a change, or before a report."""
        async with self._writing:
            try:
                self._rules = {each.tenant: each for each in await asyncio.to_thread(self._samples.rules)}
                await self._write()
            except (StorageError, UnavailableError):
                log.exception("samples of searches cannot be written; retrying")

    async def _write(self) -> None:
        pending, self._unwritten = self._unwritten, deque()
        allowed = [each for each in pending if self._is_allowed(each)]
        self.outcomes[SampleOutcome.DROPPED] += len(pending) - len(allowed)
        try:
            await asyncio.to_thread(self._samples.add, allowed)
        except (StorageError, UnavailableError):
            kept = allowed[: max(0, UNWRITTEN_MAX - len(self._unwritten))]  # more searches were answered meanwhile
            self._unwritten.extendleft(reversed(kept))
            self.outcomes[SampleOutcome.DROPPED] += len(allowed) - len(kept)
            raise
        self.outcomes[SampleOutcome.WRITTEN] += len(allowed)

    async def _forget_old(self) -> None:
        try:
            await asyncio.to_thread(self._samples.forget_old)
        except (StorageError, UnavailableError):
            log.exception("old samples of searches cannot be deleted; retrying in an hour")

    def _is_allowed(self, sample: Sample) -> bool:
        """Whether its rule still stands: texts may have been forbidden since the search was answered."""
        rule = self._rules.get(sample.tenant)
        return rule is not None and (rule.keep_queries or sample.query is None)

    async def _keep_until(self, stopping: asyncio.Event) -> None:
        """Refresh until told to stop, not cancelled: an interrupted write may or may not have happened."""
        is_last, forget_at = False, -math.inf
        while not is_last:
            is_last = stopping.is_set()
            await self.refresh()
            if time.monotonic() >= forget_at:
                forget_at = time.monotonic() + FORGET_SECONDS
                await self._forget_old()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), ROUND_SECONDS)


def _asked(question: Question) -> str:
    """The query, and everything else of the request that decides which passages may answer and in which order."""
    chosen = (question.query, question.where, question.rerank, question.depth, question.wants_relevance)
    return repr(chosen if len(question.queries) == 1 else (*chosen, question.queries[1:]))
