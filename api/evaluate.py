"""How good is the order? Every judged query of a BEIR folder is asked, and recall's order is measured beside ours.

    recall      stage one alone
    two-stage   as shipped: what the service answers with
    rerank      by relevance alone; only where the shipped order is a blend

Where several ways of recall are compared, each has its runs, with its name behind theirs: recall-hybrid.

The reranker judges the first `candidates` chunks; those behind them keep recall's order, so that Recall@100 means the
same in every run. A document stands where its best chunk stands.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from api.assemble import assemble, connected
from api.disk import Disk
from api.indexing import Indexing
from api.progress import CountProgress, IndexProgress
from api.rerankers import settings_for
from api.search import FindsCandidates
from api.settings import Settings
from api.terminal import Terminal
from indexer.beir import Judgments, read_qrels, read_queries
from indexer.sources import open_corpus
from rerank.instruction import DEFAULT_INSTRUCTION
from rerank.reranker import RankedBy, Reranker
from retrieval.catalog import TenantName
from retrieval.deadline import Deadline
from retrieval.embedder import DEFAULT_TASK
from retrieval.errors import CorpusUnreadable
from retrieval.limits import CANDIDATES_MAX
from retrieval.measures import parse
from retrieval.recall_mode import RecallMode
from retrieval.records import Candidate

RECALL: Final = "recall"
TWO_STAGE: Final = "two-stage"
RERANK: Final = "rerank"
CHUNKS_PER_DOCUMENT_MARGIN: Final = 3  # how many times more chunks are recalled than documents are counted, if cut
SAMPLE_SEED: Final = 20260  # the same sample every time: two evaluations of one sample can be compared

Run: TypeAlias = dict[str, list[str]]  # query id -> document ids, best first


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A query with judgments."""

    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be measured."""

    folder: Path
    tenant: TenantName
    collection: str  # of this tenant
    metrics: tuple[str, ...]
    sample: int | None  # queries; None asks all
    split: str  # of the judgments
    is_judged: bool  # or recall alone
    recalls: tuple[RecallMode, ...] = ()  # ways of recall to compare; none is the service's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """What was found."""

    plan: Plan
    orders: dict[str, Run]  # by name of the run
    figures: dict[str, dict[str, float]]  # name of the run -> measure -> mean over the queries
    queries: int
    documents: int
    chunks: int
    candidates: int
    embedder: str
    reranker: str
    seconds: float

    def said(self) -> dict[str, Any]:
        """The JSON object of `winnow eval`."""
        return {
            "runs": [{"name": name, "metrics": figures} for name, figures in self.figures.items()],
            "collection": self.plan.collection,
            "folder": str(self.plan.folder),
            "queries": self.queries,
            "documents": self.documents,
            "chunks": self.chunks,
            "candidates": self.candidates,
            "embedder": self.embedder,
            "reranker": self.reranker,
            "seconds": round(self.seconds, 3),
        }


async def evaluated(terminal: Terminal, settings: Settings, plan: Plan) -> Evaluated:
    """Indexes what is missing, then asks every query. Raises `CorpusUnreadable`, `InvalidRequest`, what parts do."""
    measures = {spelling: parse(spelling) for spelling in plan.metrics}
    judgments = read_qrels(plan.folder, plan.split)
    cases = judged_cases(read_queries(plan.folder), judgments, sample=plan.sample)
    if not cases:
        raise CorpusUnreadable(f"{plan.folder} has no query with a relevant document")
    settings = settings_for(settings, _chosen(settings, plan)) if plan.is_judged else settings
    parts = assemble(settings, judged=plan.is_judged)
    indexing = Indexing(settings=settings, disk=parts.disk, embedding=parts.embedding)
    opened = indexing.open(plan.collection, tenant=plan.tenant)
    async with connected(*parts.pools):
        with IndexProgress(terminal) as progress:
            report = await indexing.run(open_corpus(str(plan.folder)), opened, progress=progress)
        opened.searchable.refresh()
        asking = Asking(
            tenant=plan.tenant,
            recall=opened.recall,
            reranker=parts.judging.reranker if plan.is_judged else None,
            candidates=parts.candidates,
            modes=named_modes(plan.recalls, RecallMode(settings.recall)),
            depth=max(measure.depth for measure in measures.values()),
            is_cut=report.chunks > report.documents,
        )
        started = time.monotonic()
        orders = await _asked(terminal, asking, cases)
    wanted = {case.id: judgments[case.id] for case in cases}
    return Evaluated(
        plan=plan,
        orders=orders,
        figures={
            name: {spelling: measure.mean(order, wanted) for spelling, measure in measures.items()}
            for name, order in orders.items()
        },
        queries=len(cases),
        documents=report.documents,
        chunks=report.chunks,
        candidates=asking.candidates if plan.is_judged else 0,
        embedder=parts.embedding.embedder.identity.name,
        reranker=parts.judging.reranker.name,
        seconds=time.monotonic() - started,
    )


def _chosen(settings: Settings, plan: Plan) -> str | None:
    """The reranker that the collection has chosen, if it is there already; asked before seconds of loading."""
    there = Disk.open(settings.data, settings.catalog_url).catalog.collections(plan.tenant)
    return next((each.reranker for each in there if each.name == plan.collection), None)


def judged_cases(queries: Mapping[str, str], judgments: Judgments, *, sample: int | None) -> list[Case]:
    """The queries that have a relevant document, in the file's order; `sample` of them, always the same."""
    cases = [
        Case(id=query_id, text=text)
        for query_id, text in queries.items()
        if any(grade > 0 for grade in judgments.get(query_id, {}).values())
    ]
    if sample is None or sample >= len(cases):
        return cases
    chosen = sorted(random.Random(SAMPLE_SEED).sample(range(len(cases)), sample))  # noqa: S311  not a secret
    return [cases[place] for place in chosen]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Asks one collection."""

    tenant: TenantName  # whose collection it is
    recall: FindsCandidates
    reranker: Reranker | None  # None measures recall alone
    candidates: int
    depth: int  # documents that the measures look at
    is_cut: bool  # whether some documents have several chunks
    modes: Mapping[str, RecallMode]  # by what stands behind the names of their runs

    async def ask(self, case: Case) -> dict[str, list[str]]:
        """Document ids by name of the run."""
        orders: dict[str, list[str]] = {}
        for suffix, mode in self.modes.items():
            orders |= {name + suffix: order for name, order in (await self._ask(case, mode)).items()}
        return orders

    async def _ask(self, case: Case, mode: RecallMode) -> dict[str, list[str]]:
        wanted = self.depth * CHUNKS_PER_DOCUMENT_MARGIN if self.is_cut else self.depth
        width = min(CANDIDATES_MAX, max(wanted, self.candidates))
        recalled = await self.recall.find(
            case.text, width=width, task=DEFAULT_TASK, where=None, mode=mode, deadline=Deadline.never()
        )
        orders = {RECALL: _documents(recalled.candidates)}
        return orders | await self._judged(case, recalled.candidates, self.reranker) if self.reranker else orders

    async def _judged(self, case: Case, found: Sequence[Candidate], reranker: Reranker) -> dict[str, list[str]]:
        judged, behind = found[: self.candidates], found[self.candidates :]
        ranking = await reranker.rank(
            case.text, judged, instruction=DEFAULT_INSTRUCTION, tenant=self.tenant, deadline=Deadline.never()
        )
        orders = {TWO_STAGE: _documents([*(each.candidate for each in ranking.ranked), *behind])}
        if ranking.ranked_by is RankedBy.BLEND:
            alone = sorted(ranking.ranked, key=lambda each: (-(each.relevance or 0.0), each.candidate.recall_rank))
            orders[RERANK] = _documents([*(each.candidate for each in alone), *behind])
        return orders


async def _asked(terminal: Terminal, asking: Asking, cases: Sequence[Case]) -> dict[str, Run]:
    orders: dict[str, Run] = {}
    with CountProgress(terminal, "asking", total=len(cases)) as progress:
        for case in cases:
            for name, documents in (await asking.ask(case)).items():
                orders.setdefault(name, {})[case.id] = documents
            progress.advance()
    return orders


def named_modes(recalls: Sequence[RecallMode], default: RecallMode) -> dict[str, RecallMode]:
    """By what stands behind the names of the runs: nothing, unless it was said which ways are wanted."""
    return {f"-{mode}": mode for mode in recalls} if recalls else {"": default}


def trec_lines(run: Run, name: str) -> Iterator[str]:
    """A run file: query, Q0, document, rank, score, tag.

    The score falls by one a rank: tools sort by it, and what stands behind the judged part has another unit.
    """
    for query_id, documents in run.items():
        for rank, document_id in enumerate(documents, start=1):
            yield f"{query_id} Q0 {document_id} {rank} {len(documents) - rank + 1} winnow-{name}"


def _documents(candidates: Iterable[Candidate]) -> list[str]:
    """Each document once, where it stands first."""
    return list(dict.fromkeys(candidate.chunk.document_id for candidate in candidates))
