"""What is the answer to this question? Recall, then judgement; knows no HTTP and no command line.

prepare    which collection, which instruction
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
from enum import StrEnum
from typing import Final, Protocol

from api.instructions import AppliedInstruction, Instructions, NamedInstruction
from api.rerankers import Rerankers
from api.texts import candidates_of
from rerank.adaptive_reranker import AdaptiveDepth
from rerank.depth import Depth
from rerank.instruction import DEFAULT_INSTRUCTION, checked_instruction
from rerank.reranker import Ranked, RankedBy, Ranking, RecallOrder
from retrieval import errors
from retrieval.catalog import Catalog, Collection, TenantName
from retrieval.deadline import Deadline
from retrieval.filters import Filter
from retrieval.neighbours import Context, contexts
from retrieval.recall import Recalled
from retrieval.recall_mode import RecallMode
from retrieval.records import Candidate


class OnRerankFailure(StrEnum):
    """What the caller wants where stage two fails."""

    DEGRADE = "degrade"  # recall's order, and the reason
    ERROR = "error"


class DegradeReason(StrEnum):
    """Why an answer is in recall's order although a judgement was asked for. The list is closed."""

    TIMEOUT = "timeout"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    BREAKER_OPEN = "breaker_open"


REASONS: Final[Mapping[type[errors.WinnowError], DegradeReason]] = {
    errors.RerankTimeout: DegradeReason.TIMEOUT,
    errors.RerankOverloaded: DegradeReason.OVERLOADED,
    errors.RerankUnavailable: DegradeReason.UNAVAILABLE,
    errors.RerankBreakerOpen: DegradeReason.BREAKER_OPEN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One search, as the caller means it."""

    tenant: TenantName
    collection: str  # one of the tenant's own, or `owner/name` of one that it was granted
    query: str
    top_k: int
    candidates: int | None = None  # None leaves the number to the service
    recall: RecallMode | None = None  # likewise
    depth: Depth | None = None  # likewise
    where: Filter | None = None  # which documents may answer; None is all
    rerank: bool = True
    instruction: str | NamedInstruction | None = None
    min_relevance: float | None = None  # only where somebody judged
    group_by_document: bool = False
    chunks_per_document: int | None = None  # shown of each, the best; only where grouped; None is all candidates
    neighbours: int = 0  # chunks of context shown on either side of each chunk
    on_rerank_failure: OnRerankFailure = OnRerankFailure.DEGRADE


@dataclass(frozen=True, slots=True, kw_only=True)
class Degraded:
    """A stage that was asked for and did not happen."""

    stage: str
    reason: DegradeReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One place of the answer."""

    rank: int
    best: Ranked
    others: tuple[Ranked, ...] = ()  # further chunks of the same document, best first; only where grouped


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is told about a question."""

    id: str
    collection: str
    instruction: AppliedInstruction
    recalled: Recalled
    ranking: Ranking  # all candidates, in their final order
    degraded: Degraded | None
    results: tuple[Result, ...]
    contexts: Mapping[int, Context]  # by chunk number, of everything in `results`; empty where none was asked for
    rerank_ms: float | None  # None where no judge was called
    total_ms: float


class FindsCandidates(Protocol):
    """Stage one of one collection (retrieval.recall.Recall)."""

    async def find(
        self,
        query: str,
        *,
        width: int,
        documents: int = 0,
        task: str,
        where: Filter | None = None,
        mode: RecallMode = RecallMode.DENSE,
        deadline: Deadline,
    ) -> Recalled: ...


class OpensCollections(Protocol):
    """Where collections are opened (api.open_collections)."""

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
        recall_default: RecallMode = RecallMode.DENSE,
        depth_default: Depth = Depth.FULL,
    ) -> None:
        self._catalog = catalog
        self._instructions = instructions
        self._collections = collections
        self._rerankers = rerankers
        self._candidates_default = candidates_default
        self._recall_default = recall_default
        self._depth_default = depth_default

    async def answer(self, question: Question, deadline: Deadline) -> Answer:
        """Raises the leaves of `CallerError` and `StorageError`, `DeadlineExceeded`, and `RerankError` where asked."""
        started = time.perf_counter()
        collection, recall, instruction = await asyncio.to_thread(self._prepare, question)
        recalled = await recall.find(
            question.query,
            width=self._width(question),
            documents=question.top_k if question.group_by_document else 0,
            task=instruction.embedding_task,
            where=question.where,
            mode=question.recall or self._recall_default,
            deadline=deadline,
        )
        ranking, degraded, rerank_ms = await self._judge(
            question, collection.reranker, recalled.candidates, instruction.text, deadline
        )
        results = _results(question, ranking)
        return Answer(
            id=f"req_{uuid.uuid4().hex}",
            collection=question.collection,
            instruction=instruction,
            recalled=recalled,
            ranking=ranking,
            degraded=degraded,
            results=results,
            contexts=await asyncio.to_thread(_contexts, question, recalled, results) if question.neighbours else {},
            rerank_ms=rerank_ms,
            total_ms=_milliseconds_since(started),
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
            instruction=checked_instruction(instruction or DEFAULT_INSTRUCTION),
            tenant=tenant,
            deadline=deadline,
            top_k=top_k,
        )

    def _prepare(self, question: Question) -> tuple[Collection, FindsCandidates, AppliedInstruction]:
        """Reads the catalog and opens the collection; blocks."""
        collection = searched(self._catalog, question.collection, asker=question.tenant)
        instruction = self._instructions.applied(question.tenant, question.instruction, collection)
        return collection, self._collections.recall_of(collection, asker=question.tenant), instruction

    def _width(self, question: Question) -> int:
        """How many candidates recall proposes. What the caller says holds; the default never starves `top_k`."""
        if question.candidates is not None:
            return question.candidates
        if not question.rerank and not question.group_by_document:
            return question.top_k
        return max(question.top_k, self._candidates_default)

    async def _judge(
        self,
        question: Question,
        chosen: str | None,
        candidates: Sequence[Candidate],
        instruction: str,
        deadline: Deadline,
    ) -> tuple[Ranking, Degraded | None, float | None]:
        """By the reranker that the collection has chosen."""
        if not question.rerank or not candidates:
            return await _recall_order(question, candidates, deadline), None, None
        started = time.perf_counter()
        adaptive = (question.depth or self._depth_default) is Depth.ADAPTIVE
        try:
            reranker = self._rerankers.of_collection(chosen)
            ranking = await (AdaptiveDepth(reranker) if adaptive else reranker).rank(
                question.query,
                candidates,
                instruction=instruction,
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
