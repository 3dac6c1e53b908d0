"""Measure orders on a collection with relevance judgements: ask every judged query under every setting.

The settings are those of `--setting`, or the product of the other flags:

    recall      stage one alone
    two-stage   as a search answers: the reranker's declared order, which may be recall's (rerank/ranking.py)
    rerank      by relevance alone

Where several ways of recall are compared, each has its runs, with its name behind theirs: recall-hybrid. So do several
rerankers: two-stage-winnow-rerank.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from winnow.api.cli.evaluation.asking import Answered, Asking, Loaded, NamedSetting, Run
from winnow.api.cli.evaluation.at_service import load_from_service
from winnow.api.cli.evaluation.cases import Case
from winnow.api.cli.evaluation.plan import Plan
from winnow.api.cli.progress import CountProgress
from winnow.api.cli.terminal import Terminal
from winnow.api.settings import Settings
from winnow.indexer.readers.beir import Judgments
from winnow.retrieval.measures import Measure, parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """The result of an evaluation."""

    plan: Plan
    settings: Mapping[str, NamedSetting]  # by name of the run
    answers: Mapping[str, Sequence[Answered]]  # by name of the run, one for each case
    values: dict[str, dict[str, tuple[float, ...]]]  # name of the run -> measure -> a value for each case
    cases: Sequence[Case]
    judgments: Judgments
    documents: int
    chunks: int
    embedder: str
    rerankers: tuple[str, ...]  # recall-order if nothing was reranked
    readers: frozenset[str]  # names of the rerankers that read the instruction
    seconds: float
    foreign: Mapping[str, Path] = field(default_factory=dict)  # files of runs from elsewhere, by name of the run
    foreign_runs: Mapping[str, Run] = field(default_factory=dict)  # likewise

    @property
    def orders(self) -> dict[str, Run]:
        """Our own runs, by name."""
        return {
            name: {case.id: each.scored for case, each in zip(self.cases, answers, strict=True)}
            for name, answers in self.answers.items()
        }

    def figures(self) -> dict[str, dict[str, float]]:
        """Name of the run -> measure -> mean over the queries."""
        return {
            name: {measure: math.fsum(values) / len(values) for measure, values in measures.items()}
            for name, measures in self.values.items()
        }


class Asks(Protocol):
    """Asks queries under settings: of a data folder (`Asking`), or of a service (`ServiceAsking`)."""

    @property
    def settings(self) -> Sequence[NamedSetting]: ...

    async def ask(self, case: Case, *, begin: int = 0) -> dict[str, Answered]: ...


async def evaluate(terminal: Terminal, settings: Settings, plan: Plan) -> Evaluated:
    """Index what is missing, then ask every query. Raises `CorpusUnreadable`, `InvalidRequest`."""
    measures = {spelling: parse(spelling) for spelling in plan.metrics}
    depth = max(measure.depth for measure in measures.values())
    judged = plan.source.read()
    async with AsyncExitStack() as stack:
        loaded: Loaded
        asking: Asks
        if plan.typed is not None:
            loaded, asking = load_from_service(terminal, settings, plan, plan.typed, depth=depth)
        else:
            from winnow.api.cli.evaluation.loading import load

            loaded = await load(terminal, settings, plan, stack)
            asking = Asking(tenant=plan.tenant, settings=loaded.settings, depth=depth)
        started = time.monotonic()
        answers = await _asked(terminal, asking, judged.cases)
    found = Evaluated(
        plan=plan,
        settings={each.name: each for each in loaded.settings},
        answers=answers,
        values={},
        cases=judged.cases,
        judgments=judged.judgments,
        documents=loaded.documents,
        chunks=loaded.chunks,
        embedder=loaded.embedder,
        rerankers=tuple(each.name for each in loaded.rerankers),
        readers=frozenset(each.name for each in loaded.rerankers if each.reads_instruction),
        seconds=time.monotonic() - started,
    )
    for name, run in found.orders.items():
        found.values[name] = values_of(run, judged.cases, judged.judgments, measures)
    return found


async def _asked(terminal: Terminal, asking: Asks, cases: Sequence[Case]) -> dict[str, list[Answered]]:
    """Ask the first query twice: what it takes when everything is cold is not counted."""
    answers: dict[str, list[Answered]] = {each.name: [] for each in asking.settings}
    await asking.ask(cases[0])
    with CountProgress(terminal, "asking", total=len(cases)) as progress:
        for place, case in enumerate(cases):
            for name, answer in (await asking.ask(case, begin=place)).items():
                answers[name].append(answer)
            progress.advance()
    return answers


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
