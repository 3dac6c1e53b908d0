"""Decides whether a student is offered: what its orders and those of the stock model are worth on held-back queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from winnow.rerank.distill.comparison import best_first, ndcg
from winnow.rerank.distill.fitted_order import Example, answered_order
from winnow.rerank.distill.scoring import Question
from winnow.rerank.rank_correlation import rank_biased_overlap
from winnow.retrieval.measures import parse
from winnow.retrieval.model.folder import Order
from winnow.retrieval.significance import DRAWS, LEVEL, Difference, compare

QRELS_MEASURE: Final = parse("nDCG@10")

Grades = Mapping[str, Mapping[str, int]]  # by query id, then by document id


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One order over the held-back queries."""

    name: str
    ndcg: tuple[float, ...]  # a figure for each query, with the teacher's relevance as gain
    rbo: tuple[float, ...]
    qrels: tuple[float, ...]  # of the queries with a relevant document in the judgements, in the same order

    @property
    def means(self) -> dict[str, float]:
        found = {"nDCG@10 by teacher": fmean(self.ndcg), "RBO with teacher": fmean(self.rbo)}
        return found | ({"nDCG@10 by qrels": fmean(self.qrels)} if self.qrels else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The orders, their differences, and what follows."""

    orders: tuple[Measured, ...]
    differences: dict[str, Difference]  # student minus stock: as_answered, by_relevance and perhaps qrels
    is_offered: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A model's scores of the held-back queries, and its declared order."""

    name: str
    examples: Sequence[Example]
    order: Order | None


def judge(
    questions: Sequence[Question],
    stock: Contestant,
    student: Contestant,
    *,
    instruction: str,
    grades: Grades,
    seed: int,
    separates_known_pairs: bool,
) -> Verdict:
    """Compare the student with the stock model on the held-back queries."""

    def measured(name: str, orders: Sequence[Sequence[int]]) -> Measured:
        return _measured(name, orders, questions, student.examples, grades)

    def by_relevance(one: Contestant) -> Measured:
        return measured(f"{one.name}, by relevance", [best_first(each.logits) for each in one.examples])

    def as_answered(one: Contestant) -> Measured:
        orders = [answered_order(each, one.order, instruction) for each in one.examples]
        return measured(f"{one.name}, as answered", orders)

    before, after = as_answered(stock), as_answered(student)
    alone_before, alone_after = by_relevance(stock), by_relevance(student)
    differences = {
        "as_answered": compare(after.ndcg, before.ndcg, seed=seed),
        "by_relevance": compare(alone_after.ndcg, alone_before.ndcg, seed=seed),
    }
    if after.qrels:
        differences["qrels"] = compare(after.qrels, before.qrels, seed=seed)
    fault = _fault(differences, separates_known_pairs=separates_known_pairs)
    recall = measured("recall", [range(len(each.logits)) for each in student.examples])
    teacher = measured("teacher", [best_first(each.teacher) for each in student.examples])
    return Verdict(
        orders=(recall, before, alone_before, after, alone_after, teacher),
        differences=differences,
        is_offered=fault is None,
        reason=fault or "it agrees significantly better with the teacher, as answered and by relevance",
    )


def _fault(differences: Mapping[str, Difference], *, separates_known_pairs: bool) -> str | None:
    """Why the student is not offered. By relevance, too: another weight of recall alone needs no other model."""
    if not separates_known_pairs:
        return "it no longer tells the answers to the known pairs from unrelated passages"
    if not differences["as_answered"].is_gain:
        return (
            f"its answers do not agree significantly better with the teacher (p = {differences['as_answered'].p:.4f})"
        )
    if not differences["by_relevance"].is_gain:
        return (
            f"its scores do not agree significantly better with the teacher (p = {differences['by_relevance'].p:.4f})"
        )
    if "qrels" in differences and differences["qrels"].is_loss:
        return f"its answers are significantly worse by the judgements of --qrels (p = {differences['qrels'].p:.4f})"
    return None


def describe(name: str, difference: Difference) -> str:
    """A sentence for the card and the terminal."""
    meanings = {
        "as_answered": "nDCG@10 by teacher, as answered",
        "by_relevance": "nDCG@10 by teacher, by relevance",
        "qrels": "nDCG@10 by qrels, as answered",
    }
    method = "exact" if difference.is_exact else f"{DRAWS:,} draws"
    return (
        f"{meanings[name]}: student minus stock {difference.mean:+.4f}, 95 % interval {difference.low:+.4f} to "
        f"{difference.high:+.4f}, p = {difference.p:.4f} ({difference.queries} queries, {method}; significant "
        f"below {LEVEL})"
    )


def _measured(
    name: str,
    orders: Sequence[Sequence[int]],
    questions: Sequence[Question],
    examples: Sequence[Example],
    grades: Grades,
) -> Measured:
    rows = list(zip(orders, questions, examples, strict=True))
    return Measured(
        name=name,
        ndcg=tuple(ndcg(order, each.gains) for order, _, each in rows),
        rbo=tuple(rank_biased_overlap(list(order), best_first(each.teacher)) for order, _, each in rows),
        qrels=tuple(
            QRELS_MEASURE.of(_documents(order, question), grades[question.id])
            for order, question, _ in rows
            if any(grade > 0 for grade in grades.get(question.id, {}).values())
        ),
    )


def _documents(order: Sequence[int], question: Question) -> list[str]:
    """Each document at its best chunk."""
    return list(dict.fromkeys(question.candidates[place].chunk.document_id for place in order))
