"""Tunes: tries wordings of an instruction on half of the judged queries, and confirms the best on the other half."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from winnow.api.assemble import Services, assemble
from winnow.api.assemble_search import closing_pools
from winnow.api.cli.progress import CountProgress
from winnow.api.cli.terminal import Terminal
from winnow.api.cli.tuning.halving import Cost, Round, better_half, cost, halves, rounds
from winnow.api.formatting import amount, counted, duration
from winnow.api.library.instructions import AppliedInstruction, NamedInstruction
from winnow.api.search.rerankers import require_instruction_reader, settings_for
from winnow.api.settings import Settings
from winnow.indexer.readers.beir import Judgments, read_qrels_file
from winnow.indexer.readers.query_file import read_query_file
from winnow.rerank.instruction import check_instruction
from winnow.rerank.query_echo import demote_echoes
from winnow.rerank.reranker import RecallOrder
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.document_fields import with_fields
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.measures import Measure
from winnow.retrieval.records import Candidate, RecallMode
from winnow.retrieval.search.recall import RecallRequest
from winnow.retrieval.significance import Difference, compare
from winnow.retrieval.tenancy import TenantName

QUERIES_MIN: Final = 20  # ten on either side; with fewer no difference could be shown
WORDINGS_MAX: Final = 256  # more would be chosen by chance

Confirm = Callable[[str], None]  # asks whether to go on at this cost; raises to stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to tune."""

    tenant: TenantName
    collection: Collection  # of this tenant
    instruction: str | NamedInstruction | None  # to be better than; None: what a search of the collection uses
    wordings: tuple[str, ...]
    queries: Path
    qrels: Path
    measure: Measure
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A wording and what it was worth to the queries that chose."""

    text: str
    mean: float
    queries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What came of it."""

    before: AppliedInstruction
    before_mean: float  # on the choosing half
    tried: tuple[Tried, ...]  # best first
    rounds: tuple[Round, ...]
    cost: Cost
    candidates: int
    choosing: int  # queries
    confirming: int
    difference: Difference | None  # on the confirming half; None: no wording was better on the choosing half
    seconds: float

    @property
    def best(self) -> Tried:
        return self.tried[0]

    @property
    def is_confirmed(self) -> bool:
        return self.difference is not None and self.difference.is_gain

    @property
    def reason(self) -> str:
        if self.difference is None:
            return "no wording is better than the instruction in use on the queries that choose"
        if not self.is_confirmed:
            return "the queries that confirm do not show that the best wording is better than the instruction in use"
        return "the best wording is significantly better on queries that did not choose it"


def read_wordings(path: Path) -> tuple[str, ...]:
    """Read one wording a line, each once; blank lines and lines that begin with # are left out.

    Raises `InvalidRequest`, `LimitExceeded`.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"--candidates-file {path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from error
    texts = [line.strip() for line in lines]
    found = tuple(dict.fromkeys(check_instruction(text) for text in texts if text and not text.startswith("#")))
    if not 0 < len(found) <= WORDINGS_MAX:
        raise InvalidRequest(f"--candidates-file {path}: {len(found)} wordings; write 1 to {WORDINGS_MAX}, one a line")
    return found


class Tuning:
    """One run of the command."""

    def __init__(
        self,
        terminal: Terminal,
        settings: Settings,
        plan: Plan,
        confirm: Confirm,
        *,
        assembled: Callable[[Settings], Services] = assemble,
    ) -> None:
        self._terminal = terminal
        self._settings = settings
        self._plan = plan
        self._confirm = confirm
        self._assembled = assembled

    async def run(self) -> Tuned:
        """Raises what recall and reranking raise, `InvalidRequest` and `CorpusUnreadable`."""
        plan = self._plan
        judgments = read_qrels_file(plan.qrels)
        texts = {
            each: text for each, text in read_query_file(plan.queries).items() if _is_answerable(judgments.get(each))
        }
        if len(texts) < QUERIES_MIN:
            raise InvalidRequest(
                f"{amount(len(texts))} queries have a relevant document; tuning needs at least {QUERIES_MIN}"
            )
        parts = self._assembled(settings_for(self._settings, plan.collection.reranker))
        reranker = parts.rerankers.of_collection(plan.collection.reranker)
        require_instruction_reader(reranker, plan.collection.shown, readers=parts.rerankers.readers)
        before = parts.disk.catalog.instructions.applied(plan.tenant, plan.instruction, plan.collection)
        wordings = [each for each in plan.wordings if each != before.text]
        if not wordings:
            raise InvalidRequest("all wordings are the instruction in use; there is nothing to compare")
        choosing, confirming = halves(texts, plan.seed)
        planned = rounds(len(wordings), len(choosing))
        spent = cost(planned, confirming=len(confirming))
        async with closing_pools(*parts.pools):
            asking = _Asking(plan, parts, before, texts=texts, judgments=judgments)
            self._announce(len(wordings), planned, spent, parts.candidates, await asking.timed(choosing[0]))
            self._confirm("Go on?")
            started = time.monotonic()
            with CountProgress(self._terminal, "reranking", total=spent.rerankings) as progress:
                asking.progress = progress
                tried = await _choose(asking, wordings, choosing, planned)
                mean = _mean(await asking.values(before.text, choosing))
                difference = None
                if tried[0].mean > mean:
                    ours = await asking.values(tried[0].text, confirming)
                    difference = compare(ours, await asking.values(before.text, confirming))
        return Tuned(
            before=before,
            before_mean=mean,
            tried=tuple(tried),
            rounds=tuple(planned),
            cost=spent,
            candidates=parts.candidates,
            choosing=len(choosing),
            confirming=len(confirming),
            difference=difference,
            seconds=time.monotonic() - started,
        )

    def _announce(self, wordings: int, planned: Sequence[Round], spent: Cost, width: int, seconds: float) -> None:
        steps = ", then ".join(f"{each.wordings} on {each.queries} queries" for each in planned)
        self._terminal.say(
            f"{counted(wordings, 'wording')}: {steps}. At most {amount(spent.rerankings)} rerankings of {width} "
            f"candidates ({amount(spent.choosing)} to choose, {amount(spent.confirming)} to confirm), about "
            f"{duration(seconds * spent.rerankings)} (measured on one)"
        )


async def _choose(
    asking: _Asking, wordings: Sequence[str], choosing: Sequence[str], planned: Sequence[Round]
) -> list[Tried]:
    """Halve the wordings round by round. Returns all, best first; later rounds come before the others."""
    left, out = list(wordings), list[Tried]()
    for place, each in enumerate(planned):
        queries = choosing[: each.queries]
        means = {text: _mean(await asking.values(text, queries)) for text in left}
        keep = planned[place + 1].wordings if place + 1 < len(planned) else 0
        order = better_half(means, len(left))
        left = order[:keep]
        out = [Tried(text=text, mean=means[text], queries=len(queries)) for text in order[keep:]] + out
    return out


class _Asking:
    """Measures what a search would answer under a wording."""

    def __init__(
        self,
        plan: Plan,
        parts: Services,
        before: AppliedInstruction,
        *,
        texts: Mapping[str, str],
        judgments: Judgments,
    ) -> None:
        self._plan = plan
        self._reranker = parts.rerankers.of_collection(plan.collection.reranker)
        self._candidates = parts.candidates
        self._recall = parts.collections.recall_of(plan.collection, asker=plan.tenant)
        self._mode = RecallMode(parts.settings.recall)
        self._texts = texts
        self._judgments = judgments
        self._recalled: dict[str, Sequence[Candidate]] = {}  # by query id
        self._values: dict[tuple[str, str], float] = {}  # by wording and query id
        self.before = before
        self.progress: CountProgress | None = None

    async def values(self, text: str, queries: Sequence[str]) -> list[float]:
        """Measure a wording on each query, once."""
        for query in queries:
            if (text, query) not in self._values:
                self._values[text, query] = await self._value(text, query)
                if self.progress is not None:
                    self.progress.advance()
        return [self._values[text, query] for query in queries]

    async def _value(self, text: str, query: str) -> float:
        """The measure of one query: of documents, each at its best passage."""
        candidates = await self._find(query)
        judge = self._reranker if self._reranker.changes_order(text) else RecallOrder()
        ranking = await judge.rank(
            self._texts[query], candidates, instruction=text, tenant=self._plan.tenant, deadline=Deadline.never()
        )
        if self._plan.collection.demote_query_echo:
            ranking = demote_echoes(self._texts[query], ranking)
        documents = list(dict.fromkeys(each.candidate.chunk.document_id for each in ranking.ranked))
        return self._plan.measure.of(documents, self._judgments[query])

    async def timed(self, query: str) -> float:
        """Seconds of one reranking under a wording."""
        await self._find(query)
        started = time.perf_counter()
        await self._value(self._plan.wordings[0], query)
        return time.perf_counter() - started

    async def _find(self, query: str) -> Sequence[Candidate]:
        """Recall once: all wordings are tried on the same candidates, with the embedding task that is in use."""
        if query not in self._recalled:
            recalled = await self._recall.find(
                RecallRequest(
                    query=self._texts[query],
                    width=self._candidates,
                    task=self.before.embedding_task,
                    mode=self._mode,
                    falls_back_to_dense=True,
                )
            )
            self._recalled[query] = with_fields(recalled.candidates, self._plan.collection.rerank_fields)
        return self._recalled[query]


def _is_answerable(grades: Mapping[str, int] | None) -> bool:
    return any(grade > 0 for grade in (grades or {}).values())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
