"""Runs shadows: reranks answered searches with another version when the service is idle, and stores the comparisons.

Rule 1: answers come first. Shadow work waits until no request is in progress, and lets every new one go first: at most
one slice of it is in progress.
Rule 2: the queue is bounded; what exceeds it, or is left at the end of the process, is dropped and counted.
Rule 3: a failure here affects nothing else.
Rule 4: a tenant's shadows see only its own searches of its own collections, with its own cache and salt. They count
neither towards its limits nor its usage; the metrics count them separately.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Final

from winnow.api.library.instructions import Instructions, NamedInstruction
from winnow.api.search.records import Answer, Question, RerankSkipped
from winnow.api.search.rerankers import Rerankers
from winnow.rerank.rank_correlation import kendall_tau_b, overlap, rank_biased_overlap
from winnow.rerank.ranking import merge_waves
from winnow.rerank.reranker import Ranked, Ranking
from winnow.retrieval.catalog.instructions import Reference, Value
from winnow.retrieval.catalog.shadows import ORDER_PLACES_MAX, Agreement, Comparison, Place, Shadow, VersionPair
from winnow.retrieval.catalog.sql.shadows import SqlShadowBook
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.document_fields import NO_CHOICE, FieldChoice
from winnow.retrieval.errors import StorageError, UnavailableError, WinnowError
from winnow.retrieval.records import Candidate
from winnow.retrieval.tenancy import TenantName

WAITING_MAX: Final = 64  # searches
CANDIDATES_WAITING_MAX: Final = 10_000  # passages of these searches, held in memory
UNWRITTEN_MAX: Final = 1_000  # comparisons, while the catalog cannot be written
ROUND_SECONDS: Final = 1.0  # interval of reading shadows and writing comparisons
SLICE_SECONDS: Final = 0.05  # target duration of a slice, which a new request may have to wait for
SLICE_TIMEOUT_MS: Final = 60_000.0
OVERLAP_DEPTH: Final = 10  # places

log = logging.getLogger(__name__)


class ShadowOutcome(StrEnum):
    """The outcome of a selected search."""

    JUDGED = "judged"
    FAILED = "failed"
    DROPPED = "dropped"  # the queue was full, or its shadow had ended


@dataclass(slots=True)
class ShadowFigures:
    """Totals so far; they only increase."""

    outcomes: Counter[ShadowOutcome] = field(default_factory=lambda: Counter(dict.fromkeys(ShadowOutcome, 0)))
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    """An answered search, without what only its answer needed."""

    shadow: Shadow
    live: str  # NAME@VERSION
    values: Mapping[str, Value]  # of the instruction's variables
    on: date | None  # what `{today}` stood for; None: the live instruction had no date
    collection: str
    query: str
    reranker: str
    fields: FieldChoice  # that both versions read
    ranked: tuple[Ranked, ...]  # the candidates that determined its order, best first


class Shadowing:
    """Reranks answered searches of this process in the background. Must be used from one event loop."""

    def __init__(
        self,
        *,
        book: SqlShadowBook,
        instructions: Instructions,
        rerankers: Rerankers,
        draw: Callable[[], float] | None = None,
    ) -> None:
        """`draw` returns numbers in [0, 1); a search is selected if one is below the share."""
        self._book = book
        self._instructions = instructions
        self._rerankers = rerankers
        self._draw = draw or random.Random().random  # noqa: S311  the selection is no secret
        self._known: Mapping[TenantName, Sequence[Shadow]] = {}
        self._queue: asyncio.Queue[_Answered] = asyncio.Queue(WAITING_MAX)
        self._candidates_waiting = 0
        self._unwritten: deque[Comparison] = deque()
        self._holders = 0  # requests in progress
        self._idle = asyncio.Event()
        self._idle.set()
        self._slice = 1  # passages
        self._writing = asyncio.Lock()
        self.figures = ShadowFigures()

    @property
    def waiting(self) -> int:
        """The number of waiting searches."""
        return self._queue.qsize()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run until the block ends; waiting searches are then dropped, and finished comparisons written."""
        self._queue, self._candidates_waiting = (
            asyncio.Queue(WAITING_MAX),
            0,
        )  # of this loop, and nothing of an earlier one
        stopping = asyncio.Event()
        judging = asyncio.create_task(self._judge_forever())
        keeping = asyncio.create_task(self._keep_until(stopping))
        try:
            yield
        finally:
            judging.cancel()
            stopping.set()
            with contextlib.suppress(asyncio.CancelledError):
                await judging
            await keeping

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Pause new work while a request is answered."""
        self._holders += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                self._idle.set()

    async def idle(self, seconds: float) -> None:
        """Wait until no request is in progress, at most so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._nobody_waits(), seconds)

    async def answered(self, question: Question, answer: Answer) -> None:
        """Queue an answered search if a shadow covers it; call it after the answer was sent. Waits for nothing."""
        for shadow in self._wanting(question, answer):
            if self._draw() < shadow.share:
                self._put(_make_item(shadow, question, answer))

    async def refresh(self) -> None:
        """Write comparisons and read the shadows now: after a change, or before a report."""
        async with self._writing:
            try:
                known = await asyncio.to_thread(self._book.shadows)
                self._known = {
                    tenant: [each for each in known if each.tenant == tenant]
                    for tenant in dict.fromkeys(each.tenant for each in known)
                }
                await self._write()
            except (StorageError, UnavailableError):
                log.exception("shadows cannot be read or written; retrying")

    async def settle(self) -> None:
        """Wait until all queued searches are reranked and written."""
        await self._queue.join()
        await self.refresh()

    def _wanting(self, question: Question, answer: Answer) -> Iterator[Shadow]:
        """Yield the shadows that cover this search. Searches of granted collections are never covered."""
        owner, _, collection = question.collection.rpartition("/")
        instruction = answer.instruction
        if not _is_comparable(answer) or instruction.name is None or owner not in ("", question.tenant):
            return
        for shadow in self._known.get(question.tenant, ()):
            live = Reference.of(shadow.live)
            if (
                (live.name, live.version or instruction.version) == (instruction.name, instruction.version)
                and shadow.reference != instruction.said
                and shadow.collection in (None, collection)
            ):
                yield shadow

    def _put(self, answered: _Answered) -> None:
        if self._candidates_waiting + len(answered.ranked) > CANDIDATES_WAITING_MAX or self._queue.full():
            self.figures.outcomes[ShadowOutcome.DROPPED] += 1
            return
        self._queue.put_nowait(answered)
        self._candidates_waiting += len(answered.ranked)

    async def _judge_forever(self) -> None:
        while True:
            answered = await self._queue.get()
            try:
                outcome = await self._judge(answered)
            except WinnowError as error:  # only its type: the message may contain a caller's value
                log.warning(
                    "a search could not be reranked with %s: %s", answered.shadow.reference, type(error).__name__
                )
                outcome = ShadowOutcome.FAILED
            except Exception:
                # As broad as possible, because nothing awaits this task: an unexpected error would end it unseen, and
                # nothing would be compared until the next start. Cancellation is no Exception, and ends it.
                log.exception("a search could not be reranked with %s", answered.shadow.reference)
                outcome = ShadowOutcome.FAILED
            finally:
                self._candidates_waiting -= len(answered.ranked)
                self._queue.task_done()
            self.figures.outcomes[outcome] += 1

    async def _judge(self, answered: _Answered) -> ShadowOutcome:
        """Rerank one search. Raises what looking up the instruction, filling it in, and reranking raise."""
        await self._nobody_waits()
        shadow = answered.shadow
        if shadow not in self._known.get(shadow.tenant, ()):
            return ShadowOutcome.DROPPED
        reference = Reference(name=shadow.name, version=shadow.version)
        version = await asyncio.to_thread(self._instructions.version, shadow.tenant, reference)
        instruction = self._instructions.render(version, answered.values, on=answered.on)
        ranking = await self._rerank(answered, instruction.text)
        comparison = await asyncio.to_thread(_compare, answered, version.text, ranking)
        if len(self._unwritten) >= UNWRITTEN_MAX:
            return ShadowOutcome.DROPPED
        self._unwritten.append(comparison)
        return ShadowOutcome.JUDGED

    async def _rerank(self, answered: _Answered, instruction: str) -> Ranking:
        """Rerank in slices of about `SLICE_SECONDS`, each begun when no request waits."""
        reranker = self._rerankers.of_collection(answered.reranker)
        candidates = [each.candidate for each in answered.ranked]
        waves: list[Ranking] = []
        while candidates:
            await self._nobody_waits()
            part, candidates = candidates[: self._slice], candidates[self._slice :]
            began = time.monotonic()
            wave = await reranker.rank(
                answered.query,
                part,
                instruction=instruction,
                tenant=answered.shadow.tenant,
                deadline=Deadline.after_ms(SLICE_TIMEOUT_MS),
            )
            seconds = time.monotonic() - began
            if seconds > SLICE_SECONDS:
                self._slice = max(1, self._slice // 2)
            elif seconds < SLICE_SECONDS / 2 and len(part) == self._slice:
                self._slice *= 2
            self.figures.tokens += wave.tokens
            waves.append(wave)
        return merge_waves(waves, query=answered.query)

    async def _nobody_waits(self) -> None:
        while self._holders:
            await self._idle.wait()

    async def _keep_until(self, stopping: asyncio.Event) -> None:
        """Refresh until told to stop, not cancelled: an interrupted write may or may not have happened."""
        is_last = False
        while not is_last:
            is_last = stopping.is_set()
            await self.refresh()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), ROUND_SECONDS)

    async def _write(self) -> None:
        """Write comparisons; those of an ended shadow may be meant to be forgotten, and are dropped."""
        pending, self._unwritten = self._unwritten, deque()
        alive = {(each.tenant, each.reference) for shadows in self._known.values() for each in shadows}
        wanted = [each for each in pending if (each.tenant, each.pair.shadow) in alive]
        if not wanted:
            return
        try:
            await asyncio.to_thread(self._book.add, wanted)
        except (StorageError, UnavailableError):
            self._unwritten.extendleft(reversed(wanted))
            raise


def _is_comparable(answer: Answer) -> bool:
    """Whether it was at least partly reranked, or in recall's order only because relevance has no weight there."""
    if answer.rerank_skipped is RerankSkipped.NO_WEIGHT:
        return bool(answer.ranking.ranked)
    return answer.degraded is None and answer.ranking.judged > 0


def _make_item(shadow: Shadow, question: Question, answer: Answer) -> _Answered:
    named = question.instruction
    assert answer.reranker is not None, "it was used, or known to have no weight. This is a bug."
    ranked = answer.ranking.ranked
    return _Answered(
        shadow=shadow,
        live=answer.instruction.said,
        values=named.variables if isinstance(named, NamedInstruction) else {},
        on=answer.instruction.rendered_on,
        collection=question.collection.rpartition("/")[2],
        query=question.query,
        reranker=answer.reranker,
        fields=answer.fields,
        ranked=ranked if answer.rerank_skipped else tuple(each for each in ranked if each.relevance is not None),
    )


def _compare(answered: _Answered, text: str, ranking: Ranking) -> Comparison:
    """Compare both orders of the same candidates: with adaptive depth, those that the answer reranked."""
    shadow = answered.shadow
    live_order = [_place(each.candidate) for each in answered.ranked]
    shadow_order = [_place(each.candidate) for each in ranking.ranked]
    scores = {_place(each.candidate): each.score or 0.0 for each in ranking.ranked}
    return Comparison(
        tenant=shadow.tenant,
        name=shadow.name,
        pair=VersionPair(live=answered.live, shadow=shadow.reference, text_sha256=_text_sha256(text, answered.fields)),
        collection=answered.collection,
        at=datetime.now(UTC),
        query_sha256=_sha256(answered.query),
        query=answered.query if shadow.keep_queries else None,
        candidates=len(live_order),
        live_order=tuple(live_order[:ORDER_PLACES_MAX]),
        shadow_order=tuple(shadow_order[:ORDER_PLACES_MAX]),
        agreement=Agreement(
            overlap=overlap(live_order, shadow_order, OVERLAP_DEPTH),
            tau=kendall_tau_b([each.score or 0.0 for each in answered.ranked], [scores[each] for each in live_order]),
            rbo=rank_biased_overlap(live_order, shadow_order),
            top_changed=live_order[0] != shadow_order[0],
        ),
    )


def _place(candidate: Candidate) -> Place:
    return Place(document_id=candidate.chunk.document_id, ordinal=candidate.chunk.ordinal)


def _text_sha256(text: str, fields: FieldChoice) -> str:
    """Orders under other fields are of another comparison, as those under an edited text are."""
    return _sha256(text if fields == NO_CHOICE else json.dumps([text, fields.names, fields.tokens_max]))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
