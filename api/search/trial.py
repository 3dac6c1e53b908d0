"""How would these instructions rank the same candidates? One recall, and a judgement for each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from winnow.api.library.instructions import AppliedInstruction, Instructions, NamedInstruction
from winnow.api.search.records import RerankSkipped
from winnow.api.search.rerankers import Rerankers
from winnow.api.search.two_stage import OpensCollections, found_by, searched
from winnow.rerank.reranker import Ranked, Ranking, RecallOrder
from winnow.retrieval.catalog.collections import Catalog
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.filters.grammar import Filter
from winnow.retrieval.records import RecallMode
from winnow.retrieval.search.recall import Recalled
from winnow.retrieval.tenancy import TenantName


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialQuestion:
    """One question, and what to rank its candidates under.

    Of a collection of the tenant's own: under which instruction another one's is ranked is not for its readers to see.
    """

    tenant: TenantName
    collection: str
    query: str
    wanted: tuple[NamedInstruction | None, ...]  # None: what the collection's searches use now
    top_k: int
    candidates: int | None = None
    recall: RecallMode | None = None
    where: Filter | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPlace:
    """A place of one ranking beside the first one."""

    ranked: Ranked
    rank_in_first: int

    @property
    def moved(self) -> int:
        """Places up, against the first ranking; negative is down."""
        return self.rank_in_first - self.ranked.rank


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialColumn:
    """The ranking under one instruction."""

    instruction: AppliedInstruction
    ranking: Ranking
    places: tuple[TrialPlace, ...]  # the first of them
    rerank_skipped: RerankSkipped | None  # as a search would say
    is_readable: bool  # whether whoever asks may read its text: not what the owner of a granted collection chose


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Rankings of the same candidates side by side. They were found under the first one's embedding task."""

    collection: str
    query: str
    recalled: Recalled
    columns: tuple[TrialColumn, ...]


class Trials:
    """Tries instructions, drafts among them, without any search noticing."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        instructions: Instructions,
        collections: OpensCollections,
        rerankers: Rerankers,
        candidates_default: int,
        recall_default: RecallMode = RecallMode.HYBRID,
    ) -> None:
        self._catalog = catalog
        self._instructions = instructions
        self._collections = collections
        self._rerankers = rerankers
        self._candidates_default = candidates_default
        self._recall_default = recall_default

    async def run(self, question: TrialQuestion, deadline: Deadline) -> Trial:
        """Raises as a search does that wants no degraded answer: without a judge there is nothing to compare."""
        collection = await asyncio.to_thread(searched, self._catalog, question.collection, asker=question.tenant)
        tried = await asyncio.to_thread(
            lambda: [
                self._instructions.applied(question.tenant, None, collection)
                if wanted is None
                else self._instructions.tried(question.tenant, wanted)
                for wanted in question.wanted
            ]
        )
        recall = await asyncio.to_thread(self._collections.recall_of, collection, asker=question.tenant)
        recalled = await found_by(
            recall,
            question.query,
            mode=question.recall,
            mode_default=self._recall_default,
            width=question.candidates or max(question.top_k, self._candidates_default),
            task=tried[0].embedding_task,
            where=question.where,
            deadline=deadline,
        )
        reranker = self._rerankers.of_collection(collection.reranker)
        judges = [reranker if reranker.changes_order(each.text) else RecallOrder() for each in tried]
        rankings = [
            await judge.rank(
                question.query,
                recalled.candidates,
                instruction=each.text,
                tenant=question.tenant,
                deadline=deadline,
            )
            for judge, each in zip(judges, tried, strict=True)
        ]
        first = {each.candidate.chunk.number: each.rank for each in rankings[0].ranked}
        return Trial(
            collection=question.collection,
            query=question.query,
            recalled=recalled,
            columns=tuple(
                TrialColumn(
                    instruction=instruction,
                    ranking=ranking,
                    places=_places(ranking, first, question.top_k),
                    rerank_skipped=None if reranker.changes_order(instruction.text) else RerankSkipped.NO_WEIGHT,
                    is_readable=wanted is not None or collection.tenant == question.tenant,
                )
                for wanted, instruction, ranking in zip(question.wanted, tried, rankings, strict=True)
            ),
        )


def _places(ranking: Ranking, first: Mapping[int, int], top_k: int) -> tuple[TrialPlace, ...]:
    return tuple(
        TrialPlace(ranked=each, rank_in_first=first[each.candidate.chunk.number]) for each in ranking.ranked[:top_k]
    )
