"""Asks queries under several settings, and measures what each would cost a search.

What settings have in common is computed once: recall of the same collection in the same mode, and the scores of the
same reranker for the same candidates. Each setting is charged the whole time of what it uses.

A reranker scores the first `candidates` chunks; those behind them keep recall's order, so that Recall@100 means the
same in every run. A document stands where its best chunk stands.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from winnow.api.cli.evaluation.cases import Case
from winnow.api.cli.evaluation.named_settings import Order
from winnow.api.library.instructions import BUILT_IN, AppliedInstruction
from winnow.rerank.adaptive_reranker import AdaptiveDepth
from winnow.rerank.reranker import Ranked, Reranker
from winnow.rerank.stopping_rule import Depth
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.document_fields import NO_CHOICE, FieldChoice, with_fields
from winnow.retrieval.limits import CANDIDATES_MAX
from winnow.retrieval.records import Candidate, RecallMode
from winnow.retrieval.tenancy import TenantName

if TYPE_CHECKING:
    from winnow.api.search.first_stage import FindsCandidates
    from winnow.retrieval.search.recall import Recalled

CHUNKS_PER_DOCUMENT_MARGIN: Final = 3  # how many times more chunks are recalled than documents are counted, if cut
ADAPTIVE_TOP_K: Final = 10  # places that are read where the depth is adaptive: the default of a search

Scored: TypeAlias = dict[str, float]  # document id -> the score that ordered it, best first
Run: TypeAlias = dict[str, Scored]  # by query id


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Searched:
    """A collection that is asked."""

    name: str
    embedder: str
    recall: FindsCandidates | None  # None: a service recalls
    is_cut: bool  # whether some documents have several chunks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NamedSetting:
    """A setting with everything that it needs."""

    name: str  # of its run
    order: Order
    searched: Searched
    mode: RecallMode
    candidates: int  # that are reranked
    reranker: Reranker | None
    depth: Depth = Depth.FULL
    instruction: AppliedInstruction = BUILT_IN
    fields: FieldChoice = NO_CHOICE  # that the reranker reads

    @property
    def is_reranked(self) -> bool:
        """Whether a search would run the reranker."""
        if self.reranker is None or self.order is Order.RECALL:
            return False
        return self.order is Order.RELEVANCE or self.reranker.changes_order(self.instruction.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The settings of an evaluation, ready to be asked."""

    settings: Sequence[NamedSetting]
    documents: int  # of the first setting's collection
    chunks: int
    embedder: str
    rerankers: Sequence[Reranker]  # all that were loaded; RecallOrder if nothing is reranked


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one query took."""

    embed_ms: float
    recall_ms: float
    fetch_ms: float
    rerank_ms: float | None  # None: a search would not rerank
    embed_tokens: int
    rerank_tokens: int

    @property
    def total_ms(self) -> float:
        return self.embed_ms + self.recall_ms + self.fetch_ms + (self.rerank_ms or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """How recall's order became the reranked one, for orders of fewer candidates."""

    owners: tuple[str, ...]  # document of each chunk, in recall's order
    reranked: tuple[int, ...]  # places in recall's order, best first

    def at_depth(self, depth: int) -> list[str]:
        """Return the documents in order, had only the first `depth` candidates been reranked."""
        places = [each for each in self.reranked if each < depth]
        behind = range(min(depth, len(self.reranked)), len(self.owners))
        return list(dict.fromkeys(self.owners[place] for place in (*places, *behind)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One query under one setting."""

    scored: Scored
    cost: Cost
    places: Places | None  # None: not reranked, or not every candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reranked:
    """What one reranker made of candidates."""

    ranked: Sequence[Ranked]
    ms: float
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Asks queries under settings."""

    tenant: TenantName  # owner of the collections
    settings: Sequence[NamedSetting]
    depth: int  # documents that the measures look at

    async def ask(self, case: Case, *, begin: int = 0) -> dict[str, Answered]:
        """Answer one query. Returns an answer per setting, by name; asks the setting at `begin` first.

        Whichever is asked first finds caches cold. With another beginning for each query no setting bears that alone.
        """
        one, place = _OneQuery(asking=self, case=case), begin % len(self.settings)
        return {each.name: await one.answer(each) for each in (*self.settings[place:], *self.settings[:place])}

    def width(self, searched: Searched) -> int:
        """How many chunks to recall: the same for all settings of a collection, so that they share recall."""
        wanted = self.depth * CHUNKS_PER_DOCUMENT_MARGIN if searched.is_cut else self.depth
        reranked = max(
            (each.candidates for each in self.settings if each.searched is searched and each.reranker), default=0
        )
        return min(CANDIDATES_MAX, max(wanted, reranked))


@dataclass(frozen=True, slots=True, kw_only=True)
class _OneQuery:
    """One query under all settings; remembers what they share."""

    asking: Asking
    case: Case
    recalled: dict[object, Recalled] = field(default_factory=dict)
    reranked: dict[object, _Reranked] = field(default_factory=dict)

    async def answer(self, setting: NamedSetting) -> Answered:
        recalled = await self._recall(setting)
        candidates = recalled.candidates
        if not setting.is_reranked:
            scored = documents_scored((each, recall_score(each)) for each in candidates)
            return Answered(scored=scored, cost=_cost(recalled, None), places=None)
        found = await self._rerank(setting, candidates)
        head, behind = _ordered(found.ranked, setting.order)
        is_full = len(head) == len(found.ranked)
        behind = [*behind, *candidates[setting.candidates :]]
        return Answered(
            scored=documents_scored(continued(head, behind)),
            cost=_cost(recalled, found),
            places=_places(candidates, [each for each, _ in head]) if is_full else None,
        )

    async def _recall(self, setting: NamedSetting) -> Recalled:
        searched, task = setting.searched, setting.instruction.embedding_task
        assert searched.recall is not None, "a data folder is asked. This is a bug."
        key = (id(searched), setting.mode, task)
        if key not in self.recalled:
            from winnow.retrieval.search.recall import RecallRequest

            width = self.asking.width(searched)
            request = RecallRequest(query=self.case.text, width=width, task=task, mode=setting.mode)
            self.recalled[key] = await searched.recall.find(request)
        return self.recalled[key]

    async def _rerank(self, setting: NamedSetting, candidates: Sequence[Candidate]) -> _Reranked:
        reranker, instruction = setting.reranker, setting.instruction
        assert reranker is not None, "only a setting with a reranker is reranked. This is a bug."
        shared = (id(setting.searched), setting.mode, instruction.embedding_task)
        key = (*shared, id(reranker), setting.candidates, setting.depth, instruction.text, setting.fields)
        if key not in self.reranked:
            head = with_fields(candidates[: setting.candidates], setting.fields)
            is_adaptive = setting.depth is Depth.ADAPTIVE
            began = time.perf_counter()
            ranking = await (AdaptiveDepth(reranker) if is_adaptive else reranker).rank(
                self.case.text,
                head,
                instruction=instruction.text,
                tenant=self.asking.tenant,
                deadline=Deadline.never(),
                top_k=ADAPTIVE_TOP_K if is_adaptive else None,
            )
            ms = (time.perf_counter() - began) * 1000.0
            self.reranked[key] = _Reranked(ranked=ranking.ranked, ms=ms, tokens=ranking.tokens)
        return self.reranked[key]


def continued(head: Sequence[tuple[Candidate, float]], behind: Sequence[Candidate]) -> list[tuple[Candidate, float]]:
    """Append candidates that were not reranked, with recall scores shifted below the last score of the head.

    Nothing is shifted if the head has recall's order and scores.
    """
    if not head or not behind:
        return [*head, *((each, recall_score(each)) for each in behind)]
    moved = min(0.0, head[-1][1] - recall_score(behind[0]))
    return [*head, *((each, recall_score(each) + moved) for each in behind)]


def recall_score(candidate: Candidate) -> float:
    score = candidate.similarity if candidate.recall_score is None else candidate.recall_score
    assert score is not None, "recall found it. This is a bug."
    return score


def documents_scored(candidates: Iterable[tuple[Candidate, float]]) -> Scored:
    """Each document once, at its best place."""
    found: Scored = {}
    for candidate, score in candidates:
        found.setdefault(candidate.chunk.document_id, score)
    return found


def _ordered(ranked: Sequence[Ranked], order: Order) -> tuple[list[tuple[Candidate, float]], list[Candidate]]:
    """Return what was reranked, with the score that orders it, and what was not, in recall's order."""
    alone = order is Order.RELEVANCE
    head = [
        (each.candidate, (each.relevance if alone else each.score) or 0.0)
        for each in ranked
        if each.relevance is not None
    ]
    if alone:
        head.sort(key=lambda each: (-each[1], each[0].recall_rank))
    return head, [each.candidate for each in ranked if each.relevance is None]


def _places(candidates: Sequence[Candidate], head: Sequence[Candidate]) -> Places:
    place_of = {each.chunk.number: place for place, each in enumerate(candidates)}
    return Places(
        owners=tuple(each.chunk.document_id for each in candidates),
        reranked=tuple(place_of[each.chunk.number] for each in head),
    )


def _cost(recalled: Recalled, reranked: _Reranked | None) -> Cost:
    took = recalled.timings
    return Cost(
        embed_ms=took.embed_ms,
        recall_ms=took.recall_ms,
        fetch_ms=took.fetch_ms,
        rerank_ms=None if reranked is None else reranked.ms,
        embed_tokens=recalled.embedded_tokens,
        rerank_tokens=0 if reranked is None else reranked.tokens,
    )
