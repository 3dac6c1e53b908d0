"""Measure orders on a collection with relevance judgements: ask every judged query of a BEIR folder.

    recall      stage one alone
    two-stage   as a search answers: the reranker's declared order, which may be recall's (rerank/ranking.py)
    rerank      by relevance alone

Where several ways of recall are compared, each has its runs, with its name behind theirs: recall-hybrid. So do several
rerankers: two-stage-winnow-rerank.

The reranker judges the first `candidates` chunks; those behind them keep recall's order, so that Recall@100 means the
same in every run. A document stands where its best chunk stands.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from winnow.api.assemble import assemble, assemble_indexing, closing_pools
from winnow.api.cli.progress import CountProgress, IndexProgress
from winnow.api.cli.terminal import Terminal
from winnow.api.collections.data_folder import DataFolder
from winnow.api.library.instructions import BUILT_IN, AppliedInstruction, NamedInstruction
from winnow.api.model_loading import load_reranker
from winnow.api.schemas.search_response import applied_response
from winnow.api.search.first_stage import FindsCandidates
from winnow.api.search.rerankers import refuse_unknown, settings_by_name, settings_for
from winnow.api.settings import Settings
from winnow.indexer.readers.beir import Judgments, read_qrels, read_queries
from winnow.indexer.readers.open_corpus import open_corpus
from winnow.rerank.reranker import Reranker
from winnow.retrieval.catalog.collections import KEEP_FIELDS, FieldsChange
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.document_fields import NO_CHOICE, FieldChoice, with_fields
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.limits import CANDIDATES_MAX
from winnow.retrieval.measures import Measure, parse
from winnow.retrieval.records import Candidate, RecallMode
from winnow.retrieval.search.recall import RecallRequest
from winnow.retrieval.tenancy import TenantName

RECALL: Final = "recall"
TWO_STAGE: Final = "two-stage"
RERANK: Final = "rerank"
CHUNKS_PER_DOCUMENT_MARGIN: Final = 3  # how many times more chunks are recalled than documents are counted, if cut
SAMPLE_SEED: Final = 20260  # the same sample every time: two evaluations of one sample can be compared

Scored: TypeAlias = dict[str, float]  # document id -> the score that ordered it, best first
Run: TypeAlias = dict[str, Scored]  # by query id


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A query with judgments."""

    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure."""

    folder: Path
    tenant: TenantName
    collection: str  # of this tenant
    metrics: tuple[str, ...]
    sample: int | None  # queries; None asks all
    split: str  # of the judgments
    is_judged: bool  # or recall alone
    instruction: str | NamedInstruction | None = None  # None: what a search of the collection uses
    recalls: tuple[RecallMode, ...] = ()  # ways of recall to compare; none is the service's own
    fields: FieldsChange = KEEP_FIELDS  # that the reranker reads instead of the collection's
    rerankers: tuple[str, ...] = ()  # configured rerankers to compare, by name; none is the collection's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """The result of an evaluation."""

    plan: Plan
    orders: dict[str, Run]  # by name of the run
    values: dict[str, dict[str, tuple[float, ...]]]  # name of the run -> measure -> a value for each case
    cases: Sequence[Case]
    judgments: Judgments
    documents: int
    chunks: int
    candidates: int
    embedder: str
    rerankers: tuple[str, ...]  # recall-order if nothing was reranked
    judges: Mapping[str, str]  # name of the run -> its reranker, where it has one
    readers: frozenset[str]  # names of the rerankers that read the instruction
    instruction: AppliedInstruction
    fields: FieldChoice
    seconds: float
    foreign: Mapping[str, Path] = field(default_factory=dict)  # files of runs from elsewhere, by name of the run

    def figures(self) -> dict[str, dict[str, float]]:
        """Name of the run -> measure -> mean over the queries."""
        return {
            name: {measure: math.fsum(values) / len(values) for measure, values in measures.items()}
            for name, measures in self.values.items()
        }

    def response(self) -> dict[str, Any]:
        """The JSON object of `winnow eval`."""
        return {
            "runs": [
                {
                    "name": name,
                    "reranker": self.judges.get(name),
                    "instruction_applied": self.judges.get(name) in self.readers,
                    "metrics": figures,
                }
                for name, figures in self.figures().items()
            ],
            "collection": self.plan.collection,
            "folder": str(self.plan.folder),
            "queries": len(self.cases),
            "documents": self.documents,
            "chunks": self.chunks,
            "candidates": self.candidates,
            "embedder": self.embedder,
            "reranker": self.rerankers[0],
            "rerankers": list(self.rerankers),
            "instruction": applied_response(self.instruction),
            "rerank_fields": list(self.fields.names),
            "seconds": round(self.seconds, 3),
        }


async def evaluate(terminal: Terminal, settings: Settings, plan: Plan) -> Evaluated:
    """Index what is missing, then ask every query. Raises `CorpusUnreadable`, `InvalidRequest`."""
    measures = {spelling: parse(spelling) for spelling in plan.metrics}
    judgments = read_qrels(plan.folder, plan.split)
    cases = judged_cases(read_queries(plan.folder), judgments, sample=plan.sample)
    if not cases:
        raise CorpusUnreadable(f"{plan.folder} has no query with a relevant document")
    alone, *also = _settings_of(settings, plan)
    parts = assemble(alone, judged=plan.is_judged)
    others = [load_reranker(each) for each in also]
    rerankers = [parts.judging.reranker, *(each.reranker for each in others)]
    indexing = assemble_indexing(settings, parts.disk, parts.embedding)
    opened = indexing.open(plan.collection, tenant=plan.tenant)
    async with closing_pools(*parts.pools, *(each.pool for each in others)):
        with IndexProgress(terminal) as progress:
            report = await indexing.run(open_corpus(str(plan.folder)), opened, progress=progress)
        opened.searchable.refresh()
        asking = Asking(
            tenant=plan.tenant,
            recall=opened.recall,
            instruction=parts.disk.catalog.instructions.applied(plan.tenant, plan.instruction, opened.collection),
            fields=plan.fields.of(opened.collection.rerank_fields),
            rerankers=named_rerankers(rerankers) if plan.is_judged else {},
            candidates=parts.candidates,
            modes=named_modes(plan.recalls, RecallMode(settings.recall)),
            depth=max(measure.depth for measure in measures.values()),
            is_cut=report.chunks > report.documents,
        )
        started = time.monotonic()
        orders = await _asked(terminal, asking, cases)
    return Evaluated(
        plan=plan,
        orders=orders,
        values={name: values_of(run, cases, judgments, measures) for name, run in orders.items()},
        cases=cases,
        judgments=judgments,
        documents=report.documents,
        chunks=report.chunks,
        candidates=asking.candidates if plan.is_judged else 0,
        embedder=parts.embedding.embedder.identity.name,
        rerankers=tuple(each.name for each in rerankers),
        judges=asking.judges,
        readers=frozenset(each.name for each in rerankers if each.reads_instruction),
        instruction=asking.instruction,
        fields=asking.fields,
        seconds=time.monotonic() - started,
    )


def _settings_of(settings: Settings, plan: Plan) -> Sequence[Settings]:
    """Return settings that load one reranker each, first the one that is assembled. Raises `InvalidRequest`."""
    if not plan.is_judged:
        return [settings]
    if not plan.rerankers:
        return [settings_for(settings, _chosen(settings, plan))]
    by_name = settings_by_name(settings)
    for name in plan.rerankers:
        refuse_unknown(name, by_name)
    return [by_name[name] for name in plan.rerankers]


def _chosen(settings: Settings, plan: Plan) -> str | None:
    """The reranker of the collection, if the collection exists. Read before models are loaded."""
    there = DataFolder.open(settings.data, settings.catalog_url).catalog.collections.of_tenant(plan.tenant)
    return next((each.reranker for each in there if each.name == plan.collection), None)


def judged_cases(queries: Mapping[str, str], judgments: Judgments, *, sample: int | None) -> list[Case]:
    """Queries that have a relevant document, in the order of the file; `sample` takes a fixed sample."""
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
    """Asks queries to one collection."""

    tenant: TenantName  # owner of the collection
    recall: FindsCandidates
    rerankers: Mapping[str, Reranker]  # by what stands behind the names of their runs; none measures recall alone
    candidates: int
    depth: int  # documents that the measures look at
    is_cut: bool  # whether some documents have several chunks
    modes: Mapping[str, RecallMode]  # by what stands behind the names of their runs
    instruction: AppliedInstruction = BUILT_IN
    fields: FieldChoice = NO_CHOICE  # that the reranker reads

    @property
    def judges(self) -> dict[str, str]:
        """Name of each reranked run, and its reranker."""
        return {
            f"{order}{suffix}{mode}": reranker.name
            for suffix, reranker in self.rerankers.items()
            for order in (TWO_STAGE, RERANK)
            for mode in self.modes
        }

    async def ask(self, case: Case) -> dict[str, Scored]:
        """Rank one query. Returns an order per run."""
        orders: dict[str, Scored] = {}
        for suffix, mode in self.modes.items():
            orders |= {name + suffix: order for name, order in (await self._ask(case, mode)).items()}
        return orders

    async def _ask(self, case: Case, mode: RecallMode) -> dict[str, Scored]:
        wanted = self.depth * CHUNKS_PER_DOCUMENT_MARGIN if self.is_cut else self.depth
        width = min(CANDIDATES_MAX, max(wanted, self.candidates))
        recalled = await self.recall.find(
            RecallRequest(query=case.text, width=width, task=self.instruction.embedding_task, mode=mode)
        )
        orders = {RECALL: _scored((each, _recall_score(each)) for each in recalled.candidates)}
        found = with_fields(recalled.candidates, self.fields)
        for suffix, reranker in self.rerankers.items():
            ranked = await self._reranked(case, found, reranker)
            orders |= {name + suffix: order for name, order in ranked.items()}
        return orders

    async def _reranked(self, case: Case, found: Sequence[Candidate], reranker: Reranker) -> dict[str, Scored]:
        """Rerank, even where a search would not: the order by relevance alone needs it."""
        head, behind = found[: self.candidates], found[self.candidates :]
        ranking = await reranker.rank(
            case.text, head, instruction=self.instruction.text, tenant=self.tenant, deadline=Deadline.never()
        )
        alone = sorted(ranking.ranked, key=lambda each: (-(each.relevance or 0.0), each.candidate.recall_rank))
        answered = (
            [(each.candidate, each.score or 0.0) for each in ranking.ranked]
            if reranker.changes_order(self.instruction.text)
            else [(each, _recall_score(each)) for each in head]
        )
        return {
            TWO_STAGE: _scored(continued(answered, behind)),
            RERANK: _scored(continued([(each.candidate, each.relevance or 0.0) for each in alone], behind)),
        }


def continued(head: Sequence[tuple[Candidate, float]], behind: Sequence[Candidate]) -> list[tuple[Candidate, float]]:
    """Append candidates that were not reranked, with recall scores shifted below the last score of the head.

    Nothing is shifted if the head has recall's order and scores.
    """
    if not head or not behind:
        return [*head, *((each, _recall_score(each)) for each in behind)]
    moved = min(0.0, head[-1][1] - _recall_score(behind[0]))
    return [*head, *((each, _recall_score(each) + moved) for each in behind)]


def _recall_score(candidate: Candidate) -> float:
    score = candidate.similarity if candidate.recall_score is None else candidate.recall_score
    assert score is not None, "recall found it. This is a bug."
    return score


async def _asked(terminal: Terminal, asking: Asking, cases: Sequence[Case]) -> dict[str, Run]:
    orders: dict[str, Run] = {}
    with CountProgress(terminal, "asking", total=len(cases)) as progress:
        for case in cases:
            for name, scored in (await asking.ask(case)).items():
                orders.setdefault(name, {})[case.id] = scored
            progress.advance()
    return orders


def named_modes(recalls: Sequence[RecallMode], default: RecallMode) -> dict[str, RecallMode]:
    """Recall modes by suffix of the run's name; the suffix is empty if no modes were chosen."""
    return {f"-{mode}": mode for mode in recalls} if recalls else {"": default}


def named_rerankers(rerankers: Sequence[Reranker]) -> dict[str, Reranker]:
    """Rerankers by suffix of the run's name; the suffix is empty if there is one."""
    if len(rerankers) == 1:
        return {"": rerankers[0]}
    return {f"-{each.name}": each for each in rerankers}


def values_of(
    run: Run, cases: Sequence[Case], judgments: Judgments, measures: Mapping[str, Measure]
) -> dict[str, tuple[float, ...]]:
    """Measure each case, by measure. A case without a ranking counts as 0."""
    return {
        spelling: tuple(measure.of(list(run.get(case.id, ())), judgments[case.id]) for case in cases)
        for spelling, measure in measures.items()
    }


def trec_lines(run: Run, name: str) -> Iterator[str]:
    """A run file: query, Q0, document, rank, score, tag; separated by tabs where an id holds a blank.

    Tools sort by the score, in single precision, and where scores are equal by the document's id. So a score that is
    no less than the one before it is written as the next smaller number: the order stays ours.
    """
    for query_id, scored in run.items():
        last = np.float32(np.inf)
        for rank, (document_id, score) in enumerate(scored.items(), start=1):
            last = min(np.float32(score), np.nextafter(last, np.float32(-np.inf)))
            columns = (query_id, "Q0", document_id, str(rank), str(last), f"winnow-{name}")
            yield ("\t" if any(map(str.isspace, query_id + document_id)) else " ").join(columns)


def _scored(candidates: Iterable[tuple[Candidate, float]]) -> Scored:
    """Each document once, at its best place."""
    found: Scored = {}
    for candidate, score in candidates:
        found.setdefault(candidate.chunk.document_id, score)
    return found
