"""Tries instructions: one recall, and a ranking of its candidates under each instruction."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from winnow.api.library.instructions import AppliedInstruction
from winnow.api.search.first_stage import FirstStage
from winnow.api.search.records import RerankSkipped, TrialQuestion
from winnow.api.search.rerankers import Rerankers, require_instruction_reader
from winnow.rerank.reranker import Ranked, Ranking, RecallOrder
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.document_fields import with_fields
from winnow.retrieval.search.recall import Recalled
from winnow.retrieval.tracing import stage


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPlace:
    """A result of one ranking, and its place in the first ranking."""

    ranked: Ranked
    rank_in_first: int

    @property
    def moved(self) -> int:
        """Places up, compared with the first ranking; negative is down."""
        return self.rank_in_first - self.ranked.rank


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialColumn:
    """The ranking under one instruction."""

    instruction: AppliedInstruction
    ranking: Ranking
    places: tuple[TrialPlace, ...]  # the first of them
    rerank_skipped: RerankSkipped | None  # as in a search
    is_readable: bool  # whether the asker may read its text; a reader may not read what the owner's collection uses


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Rankings of the same candidates. Recall embedded the query under the first instruction's embedding task."""

    collection: str
    query: str
    recalled: Recalled
    columns: tuple[TrialColumn, ...]


class Trials:
    """Tries instructions, drafts among them, without changing any search."""

    def __init__(self, *, first_stage: FirstStage, rerankers: Rerankers) -> None:
        self._first_stage = first_stage
        self._rerankers = rerankers

    async def run(self, question: TrialQuestion, deadline: Deadline) -> Trial:
        """Raises what a search raises, and `RerankError`: without relevance scores there is nothing to compare."""
        opened = await asyncio.to_thread(self._first_stage.open, question)
        collection, tried = opened.collection, opened.instructions
        recalled = await opened.recall.find(
            self._first_stage.request(
                question,
                width=self._first_stage.width(question),
                task=tried[0].embedding_task,
                deadline=deadline,
            )
        )
        candidates = await asyncio.to_thread(with_fields, recalled.candidates, collection.rerank_fields)
        reranker = self._rerankers.of_collection(collection.reranker)
        if collection.require_instruction:
            require_instruction_reader(reranker, collection.shown, readers=self._rerankers.readers)
        judges = [reranker if reranker.changes_order(each.text) else RecallOrder() for each in tried]
        rankings = []
        for judge, each in zip(judges, tried, strict=True):
            with stage("rerank"):
                rankings.append(
                    await judge.rank(
                        question.query, candidates, instruction=each.text, tenant=question.tenant, deadline=deadline
                    )
                )
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
