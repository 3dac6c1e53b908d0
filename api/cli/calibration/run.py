"""Measures a threshold: asks the judged queries of a collection, and tests what their answers would show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from winnow.api.assemble import Services, assemble
from winnow.api.assemble_search import closing_pools
from winnow.api.cli.progress import CountProgress
from winnow.api.cli.terminal import Terminal
from winnow.api.formatting import amount, percent
from winnow.api.library.instructions import NamedInstruction
from winnow.api.search.calibrated import measured_for
from winnow.api.search.records import Answer, OnRerankFailure, Question
from winnow.api.search.rerankers import settings_for
from winnow.api.settings import Settings
from winnow.indexer.readers.beir import Judgments, read_qrels_file
from winnow.indexer.readers.query_file import read_query_file
from winnow.retrieval.calibration import (
    QUERIES_MIN,
    Calibrated,
    JudgedAnswer,
    JudgedPassage,
    Promise,
    calibrate,
    queries_needed,
)
from winnow.retrieval.catalog.calibrations import Calibration
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.limits import TOP_K_MAX
from winnow.retrieval.tenancy import TenantName

RELEVANT_FROM: Final = 1  # grade


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure."""

    tenant: TenantName
    collection: Collection  # of this tenant
    instruction: str | NamedInstruction | None  # None: what a search of the collection uses
    queries: Path
    qrels: Path
    promise: Promise


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was found."""

    calibrated: Calibrated
    calibration: Calibration | None  # to store; None: the promise cannot be given
    passages: int  # that the queries show without a threshold
    unjudged: int  # of these


async def measure(terminal: Terminal, settings: Settings, plan: Plan) -> Measured:
    """Ask every judged query. Raises what a search raises, `InvalidRequest` and `CorpusUnreadable`."""
    judgments = read_qrels_file(plan.qrels)
    texts = {each: text for each, text in read_query_file(plan.queries).items() if judgments.get(each) and text.strip()}
    if len(texts) < QUERIES_MIN:
        raise InvalidRequest(
            f"{amount(len(texts))} queries have judgements; a calibration needs at least {QUERIES_MIN}"
        )
    parts = assemble(settings_for(settings, plan.collection.reranker))
    if plan.promise.top_k > parts.candidates:
        raise InvalidRequest(f"--top-k {plan.promise.top_k} is more than the {parts.candidates} candidates of a search")
    terminal.say(
        f"{amount(len(texts))} judged queries to ask, {amount(parts.candidates)} candidates each: up "
        f"to {amount(len(texts) * parts.candidates)} passages to rerank"
    )
    async with closing_pools(*parts.pools):
        answers = await ask(terminal, parts, plan, texts)
    return _judged(plan, parts, answers, judgments)


async def ask(terminal: Terminal, parts: Services, plan: Plan, texts: Mapping[str, str]) -> dict[str, Answer]:
    """Answer each query with all of its candidates, each with its relevance. Raises what a search raises."""
    answers: dict[str, Answer] = {}
    with CountProgress(terminal, "asking", total=len(texts)) as progress:
        for query_id, text in texts.items():
            answers[query_id] = await parts.search.answer(_question(plan, parts, text), Deadline.never())
            progress.advance()
    return answers


def judged_answer(query_id: str, answer: Answer, grades: Mapping[str, int]) -> JudgedAnswer:
    """Join an answer with the judgements of its query. A passage without a judgement counts as not relevant."""
    return JudgedAnswer(
        query_id=query_id,
        passages=tuple(
            JudgedPassage(
                relevance=each.best.relevance or 0.0,
                is_relevant=grades.get(each.best.candidate.chunk.document_id, 0) >= RELEVANT_FROM,
            )
            for each in answer.results
        ),
    )


def _question(plan: Plan, parts: Services, text: str) -> Question:
    return Question(
        tenant=plan.tenant,
        collection=plan.collection.name,
        query=text,
        top_k=min(TOP_K_MAX, parts.candidates),
        candidates=parts.candidates,
        rerank_always=True,
        min_relevance=0.0,
        instruction=plan.instruction,
        on_rerank_failure=OnRerankFailure.ERROR,
    )


def _judged(plan: Plan, parts: Services, answers: Mapping[str, Answer], judgments: Judgments) -> Measured:
    found = calibrate([judged_answer(each, answer, judgments[each]) for each, answer in answers.items()], plan.promise)
    shown = [
        each.best.candidate.chunk.document_id in judgments[query_id]
        for query_id, answer in answers.items()
        for each in answer.results[: plan.promise.top_k]
    ]
    first = next(iter(answers.values()))
    return Measured(
        calibrated=found,
        calibration=_calibration(plan, parts, first, found),
        passages=len(shown),
        unjudged=shown.count(False),
    )


def _calibration(plan: Plan, parts: Services, answer: Answer, found: Calibrated) -> Calibration | None:
    if (chosen := found.chosen) is None:
        return None
    named = answer.instruction.name is not None
    return Calibration(
        tenant=plan.tenant,
        collection=plan.collection.name,
        measured_for=measured_for(
            parts.rerankers.of_collection(plan.collection.reranker), answer.instruction, answer.fields
        ),
        instruction=answer.instruction.said if named else None,
        threshold=chosen.threshold,
        precision=plan.promise.precision,
        confidence=plan.promise.confidence,
        lower=chosen.lower,
        observed=chosen.precision or 0.0,
        coverage=chosen.coverage,
        kept=chosen.kept or 0.0,
        queries=found.pilots + found.tested,
        tested=found.tested,
        answered=chosen.answered,
        top_k=plan.promise.top_k,
        candidates=parts.candidates,
        seed=plan.promise.seed,
        made_at=datetime.now(UTC),
    )


def describe_failure(found: Calibrated, promise: Promise) -> str:
    """Say why there is no threshold, and what would help."""
    if not found.tests:
        return "no query found a passage"
    failed = found.tests[-1]
    needed = queries_needed(promise)
    few = f"; even if all are relevant, {needed} queries have to answer" if failed.answered < needed else ""
    return (
        f"a precision of {promise.precision:g} is not shown with {percent(promise.confidence)} confidence: at "
        f"relevance {failed.threshold:.3f} the bound is {failed.lower:.3f} ({failed.answered} of {failed.queries} "
        f"queries show something){few}. Judge more queries, or ask for less"
    )
