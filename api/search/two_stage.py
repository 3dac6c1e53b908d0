"""What is the answer to this question? Recall, then judgement; knows no HTTP and no command line.

prepare    which collection, which instruction, and whether the reranker has a say under it
recall     the chunks that are nearest, that hold the words, or both
judge      the reranker's order, or recall's with the reason why
answer     what of that the caller asked to see
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from winnow.api.library.instructions import AppliedInstruction, Instructions
from winnow.api.search.records import REASONS, Answer, Degraded, OnRerankFailure, Question, RerankSkipped, Result
from winnow.api.search.rerankers import Rerankers
from winnow.rerank.adaptive_reranker import AdaptiveDepth
from winnow.rerank.instruction import DEFAULT_INSTRUCTION, check_instruction
from winnow.rerank.query_echo import demote_echoes
from winnow.rerank.reranker import Ranked, RankedBy, Ranking, RecallOrder, Reranker
from winnow.rerank.stopping_rule import Depth
from winnow.retrieval import errors
from winnow.retrieval.catalog.collections import Catalog, Collection
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.filters.grammar import Filter
from winnow.retrieval.records import Candidate, RecallMode, candidates_of
from winnow.retrieval.search.context import Context, contexts
from winnow.retrieval.search.recall import Recalled
from winnow.retrieval.tenancy import TenantName


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What is known of a question before anything is computed for it."""

    collection: Collection
    recall: FindsCandidates
    instruction: AppliedInstruction
    reranker: Reranker | errors.RerankUnavailable  # or why there is none
    rerank_skipped: RerankSkipped | None
    demotes_echo: bool
    started: float  # by time.perf_counter

    @property
    def is_reranked(self) -> bool:
        """Whether the reranker will be asked, unless there is nothing to ask about."""
        return self.rerank_skipped is None


class FindsCandidates(Protocol):
    """Stage one of one collection (retrieval.search.recall.Recall)."""

    async def find(
        self,
        query: str,
        *,
        width: int,
        documents: int = 0,
        task: str,
        where: Filter | None = None,
        mode: RecallMode = RecallMode.HYBRID,
        deadline: Deadline,
    ) -> Recalled: ...


class OpensCollections(Protocol):
    """Where collections are opened (api.collections.open_collections)."""

    def recall_of(self, collection: Collection, *, asker: TenantName) -> FindsCandidates: ...


class Search:
    """Answers questions over the collections of a deployment."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        instructions: Instructions,
        collections: OpensCollections,
        rerankers: Rerankers,
        candidates_default: int,
        recall_default: RecallMode = RecallMode.HYBRID,
        depth_default: Depth = Depth.FULL,
    ) -> None:
        self._catalog = catalog
        self._instructions = instructions
        self._collections = collections
        self._rerankers = rerankers
        self._candidates_default = candidates_default
        self._recall_default = recall_default
        self._depth_default = depth_default

    async def prepare(self, question: Question) -> Prepared:
        """Reads the catalog and opens the collection. Raises the leaves of `CallerError` and `StorageError`."""
        return await asyncio.to_thread(self._prepared, question, time.perf_counter())

    async def answer(self, question: Question, deadline: Deadline, prepared: Prepared | None = None) -> Answer:
        """Raises the leaves of `CallerError` and `StorageError`, `DeadlineExceeded`, and `RerankError` where asked."""
        ready = prepared or await self.prepare(question)
        recalled = await found_by(
            ready.recall,
            question.query,
            mode=question.recall,
            mode_default=self._recall_default,
            width=self._width(question, demotes_echo=ready.demotes_echo),
            documents=question.top_k if question.group_by_document else 0,
            task=ready.instruction.embedding_task,
            where=question.where,
            deadline=deadline,
        )
        skipped = ready.rerank_skipped or (None if recalled.candidates else RerankSkipped.NO_CANDIDATES)
        ranking, degraded, rerank_ms = await self._judge(question, ready, skipped, recalled.candidates, deadline)
        if ready.demotes_echo:
            ranking = await asyncio.to_thread(demote_echoes, question.query, ranking)
        results = _results(question, ranking)
        return Answer(
            id=f"req_{uuid.uuid4().hex}",
            collection=question.collection,
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
    ) -> Ranking:
        """Judges texts that no recall found; each one's chunk number is its place. Raises `RerankError`.

        `model` is what the caller calls the judge: a reranker of this name if there is one, else the default.
        """
        return await self._rerankers.of_caller(model).rank(
            query,
            candidates_of(texts),
            instruction=check_instruction(instruction or DEFAULT_INSTRUCTION),
            tenant=tenant,
            deadline=deadline,
            top_k=top_k,
        )

    def _prepared(self, question: Question, started: float) -> Prepared:
        """Blocks."""
        collection = searched(self._catalog, question.collection, asker=question.tenant)
        instruction = self._instructions.applied(question.tenant, question.instruction, collection)
        reranker: Reranker | errors.RerankUnavailable
        try:
            reranker = self._rerankers.of_collection(collection.reranker)
        except errors.RerankUnavailable as unavailable:  # an answer that needs it says so; others do not
            reranker = unavailable
        skipped = None
        if not question.rerank:
            skipped = RerankSkipped.NOT_REQUESTED
        elif not question.wants_relevance and _has_no_weight(reranker, instruction.text):
            skipped = RerankSkipped.NO_WEIGHT
        return Prepared(
            collection=collection,
            recall=self._collections.recall_of(collection, asker=question.tenant),
            instruction=instruction,
            reranker=reranker,
            rerank_skipped=skipped,
            demotes_echo=collection.demote_query_echo
            if question.demote_query_echo is None
            else question.demote_query_echo,
            started=started,
        )

    def _width(self, question: Question, *, demotes_echo: bool) -> int:
        """How many candidates recall proposes. What the caller says holds; the default never starves `top_k`."""
        if question.candidates is not None:
            return question.candidates
        if not question.rerank and not question.group_by_document and not demotes_echo:
            return question.top_k
        return max(question.top_k, self._candidates_default)

    async def _judge(
        self,
        question: Question,
        ready: Prepared,
        skipped: RerankSkipped | None,
        candidates: Sequence[Candidate],
        deadline: Deadline,
    ) -> tuple[Ranking, Degraded | None, float | None]:
        """By the reranker that the collection has chosen."""
        if skipped is not None:
            return await _recall_order(question, candidates, deadline), None, None
        started = time.perf_counter()
        adaptive = (question.depth or self._depth_default) is Depth.ADAPTIVE
        try:
            if isinstance(ready.reranker, errors.RerankUnavailable):
                raise ready.reranker
            ranking = await (AdaptiveDepth(ready.reranker) if adaptive else ready.reranker).rank(
                question.query,
                candidates,
                instruction=ready.instruction.text,
                tenant=question.tenant,
                deadline=deadline,
                top_k=None if question.group_by_document or question.min_relevance is not None else question.top_k,
            )
        except errors.RerankError as error:
            if question.on_rerank_failure is OnRerankFailure.ERROR:
                raise
            degraded = Degraded(stage="rerank", reason=REASONS[type(error)])
            return await _recall_order(question, candidates, deadline), degraded, _milliseconds_since(started)
        return ranking, None, _milliseconds_since(started)


def _has_no_weight(reranker: Reranker | errors.RerankUnavailable, instruction: str) -> bool:
    return not isinstance(reranker, errors.RerankUnavailable) and not reranker.changes_order(instruction)


async def found_by(
    recall: FindsCandidates,
    query: str,
    *,
    mode: RecallMode | None,
    mode_default: RecallMode,
    width: int,
    documents: int = 0,
    task: str,
    where: Filter | None,
    deadline: Deadline,
) -> Recalled:
    """By the way that was asked for, else by the default.

    A collection made before words were indexed cannot be searched by them. The default is no reason to refuse it: it
    is searched by meaning then, and the answer says so. Raises as `Recall.find` does.
    """
    find = partial(recall.find, query, width=width, documents=documents, task=task, where=where, deadline=deadline)
    try:
        return await find(mode=mode or mode_default)
    except errors.WordsNotIndexed:
        if mode is not None:
            raise
        return await find(mode=RecallMode.DENSE)


def searched(catalog: Catalog, named: str, *, asker: TenantName) -> Collection:
    """The asker's own, or `owner/name` of one that it was granted; every other one is as one that is not there.

    Raises `CollectionNotFound`.
    """
    owner, separator, name = named.rpartition("/")
    if not separator or owner == asker:
        return catalog.collection(asker, name)
    return catalog.granted_collection(owner, name, reader=asker)


async def _recall_order(question: Question, candidates: Sequence[Candidate], deadline: Deadline) -> Ranking:
    return await RecallOrder().rank(
        question.query, candidates, instruction="", tenant=question.tenant, deadline=deadline
    )


def _results(question: Question, ranking: Ranking) -> tuple[Result, ...]:
    shown = _relevant_enough(ranking, question.min_relevance)
    groups = _by_document(shown) if question.group_by_document else [[ranked] for ranked in shown]
    return tuple(
        Result(rank=rank, best=best, others=tuple(others))
        for rank, (best, *others) in enumerate(
            (group[: question.chunks_per_document] for group in groups[: question.top_k]), start=1
        )
    )


def _contexts(question: Question, recalled: Recalled, results: Sequence[Result]) -> Mapping[int, Context]:
    """From the very version that was searched; blocks."""
    shown = [each.candidate.chunk for result in results for each in (result.best, *result.others)]
    found = contexts(recalled.snapshot, shown, reach=question.neighbours)
    return {chunk.number: context for chunk, context in zip(shown, found, strict=True)}


def _relevant_enough(ranking: Ranking, least: float | None) -> Sequence[Ranked]:
    """Recall's order is passed whole: what nobody judged is neither above nor below a relevance."""
    if least is None or ranking.ranked_by is RankedBy.RECALL_ORDER:
        return ranking.ranked
    return [ranked for ranked in ranking.ranked if ranked.relevance is not None and ranked.relevance >= least]


def _by_document(ranked: Sequence[Ranked]) -> list[list[Ranked]]:
    """The chunks of each document together, documents in the order of their best chunk."""
    groups: dict[str, list[Ranked]] = {}
    for each in ranked:
        groups.setdefault(each.candidate.chunk.document_id, []).append(each)
    return list(groups.values())


def _milliseconds_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000.0
