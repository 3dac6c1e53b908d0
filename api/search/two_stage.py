"""Answers a search: recall finds the candidates, the reranker orders them. Knows no HTTP and no command line.

prepare    the collection, the instruction, and whether the reranker is needed under it
recall     the chunks that are nearest, that hold the words, or both
rank       the reranker's order, or recall's with the reason why
diversify  near-identical passages left out, and MMR, where wanted
highlight  the sentences that carry the relevance of what is shown, where wanted
answer     what the caller asked to see of that order
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from winnow.api.library.instructions import AppliedInstruction
from winnow.api.search.calibrated import CalibrationBook, NoCalibrations, calibration_for, measured_for
from winnow.api.search.first_stage import FindsCandidates, FirstStage, Opened
from winnow.api.search.highlighting import find_highlights
from winnow.api.search.records import (
    REASONS,
    Answer,
    Degraded,
    Highlighted,
    OnRerankFailure,
    Question,
    RerankSkipped,
    Result,
)
from winnow.api.search.rerankers import Rerankers, require_instruction_reader
from winnow.rerank.adaptive_reranker import AdaptiveDepth
from winnow.rerank.highlight import HighlightWish
from winnow.rerank.instruction import DEFAULT_INSTRUCTION, check_instruction
from winnow.rerank.near_duplicates import Diversified, diversify
from winnow.rerank.query_echo import demote_echoes
from winnow.rerank.reranker import Ranked, RankedBy, Ranking, RecallOrder, Reranker
from winnow.rerank.stopping_rule import Depth
from winnow.retrieval import errors, tracing
from winnow.retrieval.catalog.calibrations import Calibration
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.document_fields import FieldChoice, with_fields
from winnow.retrieval.records import Candidate, Chunk, Diversity, FieldLines, candidates_of
from winnow.retrieval.search.context import Context, contexts
from winnow.retrieval.search.recall import Recalled, RecallRequest
from winnow.retrieval.tenancy import TenantName
from winnow.retrieval.tracing import answer_id, stage

DOCUMENTS_AHEAD: Final = 2  # times as many documents as are shown, where near-identical ones are left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a search needs before anything is computed for it."""

    recall: FindsCandidates
    instruction: AppliedInstruction
    reranker: Reranker | errors.RerankUnavailable  # or why there is none
    rerank_skipped: RerankSkipped | None
    demotes_echo: bool
    fields: FieldChoice  # that the reranker reads before title and text
    diversity: Diversity
    calibration: Calibration | None
    started: float  # by time.perf_counter

    highlights: bool

    @property
    def is_reranked(self) -> bool:
        """Whether the reranker runs if recall finds anything."""
        return self.rerank_skipped is None or self.highlights


class Search:
    """Answers questions over the collections of a deployment."""

    def __init__(
        self,
        *,
        first_stage: FirstStage,
        rerankers: Rerankers,
        depth_default: Depth = Depth.FULL,
        calibrations: CalibrationBook | None = None,
    ) -> None:
        self._first_stage = first_stage
        self._rerankers = rerankers
        self._depth_default = depth_default
        self._calibrations = calibrations or NoCalibrations()

    async def prepare(self, question: Question) -> Prepared:
        """Reads the catalog and opens the collection. Raises the leaves of `CallerError` and `StorageError`."""
        with stage("prepare"):
            started = time.perf_counter()
            known = None if question.calibrated else self._first_stage.known(question)
            if known is not None:  # a thread would take longer
                return self._prepared(question, known, started)
            return await asyncio.to_thread(self._opened_and_prepared, question, started)

    async def answer(self, question: Question, deadline: Deadline, prepared: Prepared | None = None) -> Answer:
        """Raises the leaves of `CallerError` and `StorageError`, `DeadlineExceeded`, and `RerankError` where asked."""
        ready = prepared or await self.prepare(question)
        tracing.annotate({tracing.DATA_SOURCE: question.collection})
        recalled = await ready.recall.find(self._request(question, ready, deadline))
        skipped = ready.rerank_skipped or (None if recalled.candidates else RerankSkipped.NO_CANDIDATES)
        candidates = recalled.candidates
        if ready.fields.names:  # they may be long
            candidates = await asyncio.to_thread(with_fields, candidates, ready.fields)
        ranking, degraded, rerank_ms = await self._rank(question, ready, skipped, candidates, deadline)
        if ready.demotes_echo:
            ranking = await asyncio.to_thread(demote_echoes, question.query, ranking)
        least = question.min_relevance if ready.calibration is None else ready.calibration.threshold
        shown, diversified, diversify_ms = _relevant_enough(ranking, least), None, None
        if ready.diversity.is_on:
            began = time.perf_counter()
            with stage("diversify"):
                diversified = await asyncio.to_thread(_diversify, shown, ready.diversity, recalled)
            shown, diversify_ms = diversified.kept, _milliseconds_since(began)
        results = _results(question, shown)
        highlights = await self._highlight(question, ready, results, degraded, deadline) if ready.highlights else None
        return Answer(
            id=answer_id(),
            collection=question.collection,
            queries=question.queries,
            rewriting=question.rewriting,
            instruction=ready.instruction,
            recalled=recalled,
            ranking=ranking,
            degraded=degraded,
            rerank_skipped=skipped,
            reranker=None if isinstance(ready.reranker, errors.RerankUnavailable) else ready.reranker.name,
            results=results,
            contexts=await asyncio.to_thread(_contexts, question, recalled, results) if question.neighbours else {},
            rerank_ms=rerank_ms,
            total_ms=_milliseconds_since(ready.started),
            diversified=diversified,
            diversify_ms=diversify_ms,
            fields=ready.fields,
            is_calibrated=question.calibrated,
            calibration=ready.calibration,
            highlights=highlights,
        )

    async def rank_texts(
        self,
        query: str,
        texts: Sequence[str],
        *,
        model: str | None = None,
        instruction: str | None,
        tenant: TenantName,
        deadline: Deadline,
        top_k: int | None = None,
        fields: Sequence[FieldLines] | None = None,
    ) -> Ranking:
        """Reranks the caller's own texts; the chunk number of each is its place. Raises `RerankError`.

        `model` names a reranker; an unknown name means the default. `fields` are read before the texts.
        """
        with stage("rerank") as reranking:
            ranking = await self._rerankers.of_caller(model).rank(
                query,
                candidates_of(texts, fields),
                instruction=check_instruction(instruction or DEFAULT_INSTRUCTION),
                tenant=tenant,
                deadline=deadline,
                top_k=top_k,
            )
            reranking.note(_rerank_attributes(ranking))
        return ranking

    async def highlight_texts(
        self,
        query: str,
        texts: Sequence[Chunk],
        *,
        wish: HighlightWish,
        model: str | None = None,
        instruction: str | None,
        tenant: TenantName,
        deadline: Deadline,
    ) -> Highlighted:
        """Judge the sentences of texts that `rank_texts` has ranked, by the same reranker. Never fails."""
        return await find_highlights(
            self._rerankers.of_caller(model),
            query,
            texts,
            wish=wish,
            instruction=check_instruction(instruction or DEFAULT_INSTRUCTION),
            tenant=tenant,
            deadline=deadline,
        )

    def _opened_and_prepared(self, question: Question, started: float) -> Prepared:
        """Blocks."""
        return self._prepared(question, self._first_stage.open(question), started)

    def _prepared(self, question: Question, opened: Opened, started: float) -> Prepared:
        """Blocks only for a calibrated question."""
        collection, (instruction,) = opened.collection, opened.instructions
        reranker: Reranker | errors.RerankUnavailable
        try:
            reranker = self._rerankers.of_collection(collection.reranker)
        except errors.RerankUnavailable as unavailable:  # an error only where the answer needs it
            reranker = unavailable
        else:
            if collection.require_instruction and question.rerank:
                require_instruction_reader(reranker, collection.shown, readers=self._rerankers.readers)
        calibration = None
        if question.calibrated and not isinstance(reranker, errors.RerankUnavailable):
            calibration = calibration_for(
                self._calibrations,
                collection,
                measured_for(reranker, instruction, collection.rerank_fields),
                instruction=instruction.said,
                top_k=question.top_k,
            )
        skipped = None
        if not question.rerank:
            skipped = RerankSkipped.NOT_REQUESTED
        elif not question.wants_relevance and _has_no_weight(reranker, instruction.text):
            skipped = RerankSkipped.NO_WEIGHT
        return Prepared(
            recall=opened.recall,
            instruction=instruction,
            reranker=reranker,
            rerank_skipped=skipped,
            demotes_echo=collection.demote_query_echo
            if question.demote_query_echo is None
            else question.demote_query_echo,
            fields=collection.rerank_fields,
            diversity=Diversity(
                collapse=collection.diversity.collapse if question.collapse is None else question.collapse,
                mmr_lambda=collection.diversity.mmr_lambda if question.mmr_lambda is None else question.mmr_lambda,
            ),
            calibration=calibration,
            highlights=question.highlight,
            started=started,
        )

    def _request(self, question: Question, ready: Prepared, deadline: Deadline) -> RecallRequest:
        """Where nothing changes recall's order, by default only the candidates that are shown are recalled."""
        width = self._first_stage.width(question)
        reorders = question.rerank or ready.demotes_echo or ready.diversity.is_on
        if not reorders and not question.group_by_document:
            width = question.candidates or question.top_k
        documents = question.top_k * (DOCUMENTS_AHEAD if ready.diversity.collapse.is_on else 1)
        return self._first_stage.request(
            question,
            width=width,
            documents=documents if question.group_by_document else 0,
            task=ready.instruction.embedding_task,
            deadline=deadline,
        )

    async def _rank(
        self,
        question: Question,
        ready: Prepared,
        skipped: RerankSkipped | None,
        candidates: Sequence[Candidate],
        deadline: Deadline,
    ) -> tuple[Ranking, Degraded | None, float | None]:
        """The reranker's order; where it fails, and the question allows that, recall's order and the reason."""
        if skipped is not None:
            return await _recall_order(question, candidates, deadline), None, None
        started = time.perf_counter()
        adaptive = (question.depth or self._depth_default) is Depth.ADAPTIVE
        try:
            if isinstance(ready.reranker, errors.RerankUnavailable):
                raise ready.reranker
            with stage("rerank") as reranking:
                ranking = await (AdaptiveDepth(ready.reranker) if adaptive else ready.reranker).rank(
                    question.query,
                    candidates,
                    instruction=ready.instruction.text,
                    tenant=question.tenant,
                    deadline=deadline,
                    top_k=None if _needs_all(question, ready) else question.top_k,
                )
                reranking.note(_rerank_attributes(ranking, ready.instruction))
        except errors.RerankError as error:
            if question.on_rerank_failure is OnRerankFailure.ERROR:
                raise
            degraded = Degraded(stage="rerank", reason=REASONS[type(error)])
            return await _recall_order(question, candidates, deadline), degraded, _milliseconds_since(started)
        return ranking, None, _milliseconds_since(started)

    async def _highlight(
        self,
        question: Question,
        ready: Prepared,
        results: Sequence[Result],
        degraded: Degraded | None,
        deadline: Deadline,
    ) -> Highlighted:
        """The best passage of each result first: the limit of tokens may not allow all."""
        bests = [result.best for result in results]
        others = [each for result in results for each in result.others]
        return await find_highlights(
            ready.reranker,
            question.query,
            [each.candidate.chunk for each in (*bests, *others)],
            instruction=ready.instruction.text,
            tenant=question.tenant,
            deadline=deadline,
            degraded=degraded,
        )


def _rerank_attributes(ranking: Ranking, instruction: AppliedInstruction | None = None) -> tracing.Attributes:
    """Name an instruction of the library; the text of any is what someone wrote, and stays out."""
    named = instruction is not None and instruction.name is not None
    return {
        tracing.OPERATION: "rerank",  # the conventions have no word for it yet
        tracing.PROVIDER: "winnow",
        tracing.MODEL: ranking.judged_by,
        tracing.INPUT_TOKENS: ranking.tokens,
        tracing.CANDIDATES: ranking.judged,
        tracing.REMEMBERED: ranking.remembered,
        **({tracing.PROMPT_NAME: instruction.said} if instruction is not None and named else {}),
    }


def _needs_all(question: Question, ready: Prepared) -> bool:
    """Whether places after `top_k` may be shown."""
    return question.group_by_document or question.has_minimum or ready.diversity.is_on


def _has_no_weight(reranker: Reranker | errors.RerankUnavailable, instruction: str) -> bool:
    return not isinstance(reranker, errors.RerankUnavailable) and not reranker.changes_order(instruction)


async def _recall_order(question: Question, candidates: Sequence[Candidate], deadline: Deadline) -> Ranking:
    return await RecallOrder().rank(
        question.query, candidates, instruction="", tenant=question.tenant, deadline=deadline
    )


def _diversify(shown: Sequence[Ranked], wanted: Diversity, recalled: Recalled) -> Diversified:
    """Vectors come from the version of the store that was searched; an index may hold them less exactly. Blocks."""
    vectors = None
    if wanted.needs_vectors:
        vectors = recalled.served.snapshot.vectors_of([each.candidate.chunk.number for each in shown])
    return diversify(shown, wanted, vectors)


def _results(question: Question, shown: Sequence[Ranked]) -> tuple[Result, ...]:
    groups = _by_document(shown) if question.group_by_document else [[ranked] for ranked in shown]
    return tuple(
        Result(rank=rank, best=best, others=tuple(others))
        for rank, (best, *others) in enumerate(
            (group[: question.chunks_per_document] for group in groups[: question.top_k]), start=1
        )
    )


def _contexts(question: Question, recalled: Recalled, results: Sequence[Result]) -> Mapping[int, Context]:
    """Reads the version of the store that was searched. Blocks."""
    shown = [each.candidate.chunk for result in results for each in (result.best, *result.others)]
    found = contexts(recalled.served.snapshot, shown, reach=question.neighbours)
    return {chunk.number: context for chunk, context in zip(shown, found, strict=True)}


def _relevant_enough(ranking: Ranking, least: float | None) -> Sequence[Ranked]:
    """Recall's order is returned whole: without relevance scores there is nothing to compare with the minimum."""
    if least is None or ranking.ranked_by is RankedBy.RECALL_ORDER:
        return ranking.ranked
    return [ranked for ranked in ranking.ranked if ranked.relevance is not None and ranked.relevance >= least]


def _by_document(ranked: Sequence[Ranked]) -> list[list[Ranked]]:
    """Groups the chunks of each document; documents are in the order of their best chunk."""
    groups: dict[str, list[Ranked]] = {}
    for each in ranked:
        groups.setdefault(each.candidate.chunk.document_id, []).append(each)
    return list(groups.values())


def _milliseconds_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000.0
