"""Disturbs searches in ways that should not change what is first, and counts where they do.

Order and composition of the candidates and an inserted near-duplicate are tried with the reranker alone, over the same
candidates; the other kinds search again with the query in other letters.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from winnow.api.search.records import Answer, OnRerankFailure, Question
from winnow.api.search.two_stage import Search
from winnow.api.stability.disturbances import OF_CANDIDATES, OF_QUERY, Disturbance
from winnow.api.stability.measures import AnswerChange, compare
from winnow.api.stability.states import answered, answered_of
from winnow.rerank.ranking import merge_waves
from winnow.rerank.reranker import Ranking, Reranker
from winnow.retrieval.catalog.stability import Answered
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.records import Candidate

SEED: Final = 20261129
PIECES: Final = 3  # parts in which the candidates are reranked, in place of all at once
ORDERS: Final = 2  # orders of candidates tried per query
FLIPS_SHOWN: Final = 10  # queries per kind
ADDED_NUMBER: Final = -1  # chunk number of the inserted near-duplicate; no stored chunk has it
ADDED_TEXT: Final = " ."


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A query whose first place changed."""

    query: str
    disturbed: str  # the query as asked; the same where the candidates were disturbed
    before: tuple[str, int]
    after: tuple[str, int] | None  # None: nothing was found


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What one kind of disturbance did."""

    kind: Disturbance
    tries: int  # to which it could be applied
    flips: int
    overlap: float | None  # of the first ten places, mean; None without a try
    score_shift_max: float | None  # of the passages in both, absolute
    examples: tuple[Flip, ...]

    @property
    def flip_rate(self) -> float | None:
        return self.flips / self.tries if self.tries else None


class Perturbation:
    """Tries disturbances on the queries of one collection."""

    def __init__(
        self,
        search: Search,
        *,
        timeout_ms: int,
        seed: int = SEED,
        paraphrases: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._search = search
        self._timeout_ms = timeout_ms
        self._seed = seed
        self._paraphrases = paraphrases or {}

    async def run(self, questions: Sequence[Question], kinds: Sequence[Disturbance]) -> Sequence[Tried]:
        """Try these kinds on each question. Raises what a search raises, and `RerankError` if reranking fails."""
        found: dict[Disturbance, list[tuple[AnswerChange, Flip | None]]] = {kind: [] for kind in kinds}
        for question in questions:
            async for kind, disturbed, before, after in self._each(question, kinds):
                change = compare(before, after)
                flip = None
                if change.top1:
                    flip = Flip(
                        query=question.query,
                        disturbed=disturbed,
                        before=before.chunks[0] if before.chunks else ("", 0),
                        after=after.chunks[0] if after.chunks else None,
                    )
                found[kind].append((change, flip))
        return [_tried(kind, changes) for kind, changes in found.items()]

    async def _each(
        self, question: Question, kinds: Sequence[Disturbance]
    ) -> AsyncIterator[tuple[Disturbance, str, Answered, Answered]]:
        """Yield each try: its kind, the query as asked, and both answers."""
        chance = random.Random(f"{self._seed} {question.query}")  # noqa: S311  the same tries each time, no secret
        base = await self._answer(question)
        before = answered_of(question.query, base)
        for kind in kinds:
            if kind in OF_CANDIDATES:
                async for one, other in self._of_candidates(kind, question, base, chance):
                    yield kind, question.query, one, other
                continue
            for text in self._forms(kind, question.query, chance):
                yield kind, text, before, answered_of(text, await self._answer(replace(question, query=text)))

    def _forms(self, kind: Disturbance, query: str, chance: random.Random) -> Sequence[str]:
        if kind is Disturbance.PARAPHRASE:
            return self._paraphrases.get(query, ())
        text = OF_QUERY[kind](query, chance)
        return [] if text is None else [text]

    async def _of_candidates(
        self, kind: Disturbance, question: Question, base: Answer, chance: random.Random
    ) -> AsyncIterator[tuple[Answered, Answered]]:
        prepared = await self._search.prepare(question)
        if isinstance(prepared.reranker, RerankUnavailable):
            raise prepared.reranker
        candidates = sorted((each.candidate for each in base.ranking.ranked), key=lambda each: each.recall_rank)
        if not candidates:
            return
        reranking = _Reranking(prepared.reranker, question, base.instruction.text, self._timeout_ms)
        plain = await reranking.rank(candidates)
        before = answered(question.query, plain.ranked)
        match kind:
            case Disturbance.CANDIDATE_ORDER:
                for _ in range(ORDERS):
                    shuffled = chance.sample(candidates, len(candidates))
                    yield before, answered(question.query, (await reranking.rank(shuffled)).ranked)
            case Disturbance.BATCHES:
                shuffled = chance.sample(candidates, len(candidates))
                waves = [await reranking.rank(shuffled[start::PIECES]) for start in range(min(PIECES, len(shuffled)))]
                yield before, answered(question.query, merge_waves(waves, query=question.query).ranked)
            case _:
                first = plain.ranked[0].candidate
                ranking = await reranking.rank([*candidates, _near_duplicate(first, len(candidates) + 1)])
                others = [each for each in ranking.ranked if each.candidate.chunk.number != ADDED_NUMBER]
                yield before, answered(question.query, others)

    async def _answer(self, question: Question) -> Answer:
        strict = replace(question, on_rerank_failure=OnRerankFailure.ERROR)  # recall's order would look like a flip
        return await self._search.answer(strict, Deadline.after_ms(self._timeout_ms))


@dataclass(frozen=True, slots=True)
class _Reranking:
    """The reranker of one question."""

    reranker: Reranker
    question: Question
    instruction: str
    timeout_ms: int

    async def rank(self, candidates: Sequence[Candidate]) -> Ranking:
        return await self.reranker.rank(
            self.question.query,
            candidates,
            instruction=self.instruction,
            tenant=self.question.tenant,
            deadline=Deadline.after_ms(self.timeout_ms),
        )


def _near_duplicate(candidate: Candidate, recall_rank: int) -> Candidate:
    """Return a copy of a candidate, last in recall's order, with an additional mark at its end."""
    chunk = replace(candidate.chunk, number=ADDED_NUMBER, text=candidate.chunk.text + ADDED_TEXT)
    return replace(candidate, chunk=chunk, recall_rank=recall_rank)


def _tried(kind: Disturbance, changes: Sequence[tuple[AnswerChange, Flip | None]]) -> Tried:
    flips = [flip for _, flip in changes if flip is not None]
    return Tried(
        kind=kind,
        tries=len(changes),
        flips=len(flips),
        overlap=sum(change.overlap for change, _ in changes) / len(changes) if changes else None,
        score_shift_max=max((shift for change, _ in changes for shift in change.shifts), default=None),
        examples=tuple(flips[:FLIPS_SHOWN]),
    )
