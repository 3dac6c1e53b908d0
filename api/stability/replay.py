"""Replays golden sets and compares each run with its baseline.

A run answers every query as a search would, with the state of now. `attribute` then repeats it with old models,
instructions and indexes, where they are still there.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import product
from typing import Final

from winnow.api.collections.open_collections import OpenCollections
from winnow.api.library.instructions import BUILT_IN, Instructions, NamedInstruction
from winnow.api.search.records import Answer, Question, RerankSkipped
from winnow.api.search.rerankers import Rerankers
from winnow.api.search.two_stage import Prepared, Search
from winnow.api.stability.attribution import Answers, Observed, attribute
from winnow.api.stability.measures import compare, measure, moved_queries
from winnow.api.stability.states import (
    EXACT,
    Models,
    Present,
    answered_of,
    changed_factors,
    instruction_sha256,
    state_of,
    with_documents,
)
from winnow.rerank.reranker import Reranker
from winnow.retrieval.catalog.instructions import Reference
from winnow.retrieval.catalog.sql.stability import SqlStabilityBook
from winnow.retrieval.catalog.stability import (
    PLACES_MAX,
    Answered,
    Factor,
    GoldenQuery,
    GoldenSet,
    GuardedMeasure,
    Moved,
    RankingState,
    Run,
    Trigger,
)
from winnow.retrieval.catalog.stability_alerts import breach_facts
from winnow.retrieval.catalog.stability_schedules import Claim, LeaseLost
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import (
    GenerationCorrupt,
    InstructionNotFound,
    InvalidRequest,
    VariableRefused,
)
from winnow.retrieval.search.reader import FixedView
from winnow.retrieval.search.recall import Recall
from winnow.retrieval.tenancy import TenantName

log = logging.getLogger(__name__)

ATTEMPTS: Final = 2  # a run during which something is published is repeated once
EXACT_CHUNKS_MAX: Final = 200_000  # chunks compared from the store in place of an exact index that is gone

BeforeEach = Callable[[], Awaitable[None]]
AfterEach = Callable[[Answer], None]


async def _nothing() -> None:
    pass


def _ignore(_: Answer) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """Is told of each query of a run, before and after it is answered: for quotas and usage."""

    before_each: BeforeEach = _nothing
    after_each: AfterEach = _ignore


class RunOutcome(StrEnum):
    """What came of a run."""

    STABLE = "stable"  # nothing moved
    MOVED = "moved"
    FAILED = "failed"  # not stored
    ABANDONED = "abandoned"  # not stored: it was interrupted, or another process replays now


@dataclass(frozen=True, slots=True, kw_only=True)
class Old:
    """What a replay uses in place of what is in use now."""

    reranker: Reranker | None = None
    instruction: str | NamedInstruction | None = None
    recall: Recall | None = None


NOW: Final = Old()


class _Noted:
    """The states of a run's answers, in the order of their appearance, and the last answer."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self.states: dict[RankingState, None] = {}
        self.last: Answer | None = None

    def note(self, question: Question, answer: Answer, prepared: Prepared) -> None:
        state = state_of(question, answer, self._models, prepared)
        self.states.pop(state, None)
        self.states[state] = None
        self.last = answer


class Replays:
    """Replays the golden sets of a deployment."""

    def __init__(
        self,
        *,
        book: SqlStabilityBook,
        search: Search,
        collections: OpenCollections,
        instructions: Instructions,
        rerankers: Rerankers,
        models: Models,
        timeout_ms: int,
    ) -> None:
        self.book = book
        self._search = search
        self._collections = collections
        self._instructions = instructions
        self._rerankers = rerankers
        self._models = models
        self._timeout_ms = timeout_ms
        self.breaches: Counter[GuardedMeasure] = Counter(dict.fromkeys(GuardedMeasure, 0))  # of runs of this process
        self.outcomes: Counter[tuple[Trigger, RunOutcome]] = Counter(dict.fromkeys(product(Trigger, RunOutcome), 0))

    async def run(
        self,
        tenant: TenantName,
        name: str,
        *,
        rebase: bool = False,
        trigger: Trigger = Trigger.REQUEST,
        watcher: Watcher | None = None,
        claim: Claim | None = None,
    ) -> Run:
        """Answer all queries of a set, compare with its baseline, and store the run.

        The first run becomes the baseline, and with `rebase` this one does. Raises `GoldenSetNotFound`, and what a
        search raises: a run is whole or not stored. Raises `LeaseLost` if the `claim` does not stand when it is.
        """
        outcome = RunOutcome.FAILED
        try:
            run = await self._run(tenant, name, rebase=rebase, trigger=trigger, told=watcher or Watcher(), claim=claim)
        except (LeaseLost, asyncio.CancelledError):
            outcome = RunOutcome.ABANDONED
            raise
        else:
            outcome = RunOutcome.MOVED if run.causes else RunOutcome.STABLE
            return run
        finally:
            self.outcomes[trigger, outcome] += 1

    async def present(self, golden: GoldenSet) -> Present:
        """Return what would answer the set's queries now. Raises what `Search.prepare` and opening an index raise."""
        prepared = await self._search.prepare(_question(golden, "", NOW))
        return await asyncio.to_thread(self._present, golden, prepared)

    def _present(self, golden: GoldenSet, prepared: Prepared) -> Present:
        view = self._collections.get(golden.tenant, golden.collection).searchable.view()
        return Present.by(prepared, view.generation, self._models)

    async def _run(
        self,
        tenant: TenantName,
        name: str,
        *,
        rebase: bool,
        trigger: Trigger,
        told: Watcher,
        claim: Claim | None,
    ) -> Run:
        golden = await asyncio.to_thread(self.book.golden_set, tenant, name)
        queries = await asyncio.to_thread(self.book.queries, tenant, name)
        state, after = await self._replay(golden, queries, told)
        run = Run(
            number=0,
            tenant=tenant,
            golden=name,
            collection=golden.collection,
            at=datetime.now(UTC),
            state=state,
            baseline=golden.baseline,
            trigger=trigger,
        )
        kept: Mapping[str, Answered] = after
        if golden.baseline is not None:
            before = await asyncio.to_thread(self._baseline, golden)
            observed = Observed(state_before=before[0], state=state, before=before[1], after=after)
            run = await self._compared(run, golden, queries, observed, told)
            if not rebase:
                kept = {query: after[query] for query in _worth_keeping(observed)}
        is_baseline = rebase or golden.baseline is None
        stored = await asyncio.to_thread(self.book.write_run, run, kept, becomes_baseline=is_baseline, claim=claim)
        self._report_breaches(stored)
        return stored

    def _report_breaches(self, run: Run) -> None:
        """Count and log them; the catalog has them already, in the audit log and the outbox as well."""
        for breach in run.breaches:
            self.breaches[breach.measure] += 1
            facts = {"tenant": run.tenant, "golden_set": run.golden, **breach_facts(run, breach)}
            said = " ".join(f"{name}={value}" for name, value in facts.items())
            log.warning("rankings moved beyond a threshold: %s", said, extra={"facts": facts})

    def moved(self, run: Run) -> Sequence[Moved]:
        """Return the queries of a run whose answers moved, those that moved most first. Blocks."""
        if run.baseline is None:
            return []
        before = self.book.answers_of(run.tenant, run.baseline)  # none if a later baseline replaced it long ago
        after = self.book.answers(run)
        one = {query: before[query] for query in after if query in before}
        found = [
            Moved(query=query, before=one[query], after=after[query], rbo=compare(one[query], after[query]).rbo)
            for query in moved_queries(one, after)
        ]
        return sorted(found, key=lambda each: each.rbo)

    def question(self, golden: GoldenSet, query: str) -> Question:
        """Return the search of a golden set's query, as a run makes it."""
        return _question(golden, query, NOW)

    def _baseline(self, golden: GoldenSet) -> tuple[RankingState, Answers]:
        assert golden.baseline is not None, "asked only where there is one. This is a bug."
        run = self.book.run(golden.tenant, golden.baseline)
        return run.state, self.book.answers(run)

    async def _compared(
        self, run: Run, golden: GoldenSet, queries: Sequence[GoldenQuery], observed: Observed, told: Watcher
    ) -> Run:
        async def put_back(factors: frozenset[Factor]) -> Answers | None:
            old = await asyncio.to_thread(self._old, golden, factors, observed.state_before)
            return None if old is None else await self._answers(golden, queries, told, old)

        judgments = {each.query: each.judgments for each in queries if each.judgments is not None}
        return replace(
            run,
            measures=measure(observed.before, observed.after, judgments),
            changed=changed_factors(observed.state_before, observed.state),
            causes=await attribute(observed, put_back),
        )

    async def _replay(
        self, golden: GoldenSet, queries: Sequence[GoldenQuery], told: Watcher
    ) -> tuple[RankingState, dict[str, Answered]]:
        """Answer all queries in one state; if something changes meanwhile, once more."""
        noted = _Noted(self._models)
        answers: dict[str, Answered] = {}
        for _ in range(ATTEMPTS):
            noted = _Noted(self._models)
            answers = await self._answers(golden, queries, told, NOW, noted)
            if len(noted.states) == 1:
                break
        if noted.last is None:
            raise InvalidRequest(f"the golden set {golden.name} has no queries")
        (*_, state) = noted.states
        return await asyncio.to_thread(with_documents, state, noted.last.recalled.served.snapshot), answers

    async def _answers(
        self,
        golden: GoldenSet,
        queries: Sequence[GoldenQuery],
        told: Watcher,
        old: Old,
        noted: _Noted | None = None,
    ) -> dict[str, Answered]:
        found = {}
        for each in queries:
            await told.before_each()
            question = _question(golden, each.query, old)
            prepared = _with_old(await self._search.prepare(question), old)
            answer = await self._search.answer(question, Deadline.after_ms(self._timeout_ms), prepared)
            told.after_each(answer)
            if noted is not None:
                noted.note(question, answer, prepared)
            found[each.query] = answered_of(each.query, answer)
        return found

    def _old(self, golden: GoldenSet, factors: frozenset[Factor], state: RankingState) -> Old | None:
        """Find the old ones of these factors. Returns None unless all of them are still there. Blocks."""
        old = NOW
        for factor in factors:
            found = None
            match factor:
                case Factor.MODEL:
                    found = self._old_reranker(state)
                case Factor.INSTRUCTION:
                    found = self._old_instruction(golden, state)
                case Factor.INDEX:
                    found = self._old_index(golden, state)
                case Factor.DOCUMENTS | Factor.SETTINGS | Factor.NUMERICS:  # nothing keeps them
                    pass
            if found is None:
                return None
            old = Old(
                reranker=found.reranker or old.reranker,
                instruction=found.instruction or old.instruction,
                recall=found.recall or old.recall,
            )
        return old

    def _old_reranker(self, state: RankingState) -> Old | None:
        for each in self._rerankers.all:
            if self._models.reranker(each.name) == state.reranker and self._models.embeds_like(state):
                return Old(reranker=each)
        return None

    def _old_instruction(self, golden: GoldenSet, state: RankingState) -> Old | None:
        if instruction_sha256(BUILT_IN) == state.instruction_sha256:
            return Old(instruction=BUILT_IN.text)
        try:
            reference = Reference.of(state.instruction)
            named = NamedInstruction(name=reference.name, version=reference.version)
            rendered = self._instructions.tried(golden.tenant, named)
        except (InvalidRequest, InstructionNotFound, VariableRefused):
            return None
        return Old(instruction=named) if instruction_sha256(rendered) == state.instruction_sha256 else None

    def _old_index(self, golden: GoldenSet, state: RankingState) -> Old | None:
        opened = self._collections.get(golden.tenant, golden.collection)
        generation = state.generation
        if generation is None or (state.index == EXACT and not (opened.folder.generations / generation).exists()):
            if opened.searchable.follow().snapshot.count() > EXACT_CHUNKS_MAX:
                return None
            generation = None
        try:
            view = opened.searchable.view_through(generation)
        except GenerationCorrupt:
            return None
        return Old(recall=self._collections.recall_over(FixedView(searcher=view)))


def _question(golden: GoldenSet, query: str, old: Old) -> Question:
    instruction: str | NamedInstruction | None = old.instruction
    if instruction is None and golden.instruction is not None:
        reference = Reference.of(golden.instruction)
        instruction = NamedInstruction(name=reference.name, version=reference.version)
    return Question(
        tenant=golden.tenant,
        collection=golden.collection,
        query=query,
        top_k=PLACES_MAX,
        candidates=golden.candidates,
        recall=golden.recall,
        instruction=instruction,
    )


def _with_old(prepared: Prepared, old: Old) -> Prepared:
    if old.recall is not None:
        prepared = replace(prepared, recall=old.recall)
    if old.reranker is not None:
        is_used = old.reranker.changes_order(prepared.instruction.text)
        skipped = None if is_used else RerankSkipped.NO_WEIGHT
        prepared = replace(prepared, reranker=old.reranker, rerank_skipped=skipped)
    return prepared


def _worth_keeping(observed: Observed) -> list[str]:
    """The answers that differ from the baseline's, degraded ones included."""
    degraded = [query for query, answer in observed.after.items() if answer.degraded is not None]
    return [*observed.moved, *degraded]
