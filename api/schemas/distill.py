"""The JSON object of `winnow distill`."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict


class DistillOrder(TypedDict):
    """An order, measured on the held-back queries."""

    name: str
    ndcg: float  # at 10, with the teacher's relevance as gain
    rbo: float  # rank-biased overlap with the teacher's order
    qrels_ndcg: float | None  # at 10, against the judgements of --qrels


class DistillDifference(TypedDict):
    """The student minus the model it was made from, over the held-back queries."""

    measure: Literal["as_answered", "by_relevance", "qrels"]
    mean: float
    low: float  # the 95 % interval of the mean
    high: float
    p: float  # of the paired randomisation test, two-sided
    queries: int


class DistillQueries(TypedDict):
    """Numbers of queries."""

    source: Literal["file", "titles"]
    training: int
    development: int
    held_back: int


class DistillSeconds(TypedDict):
    """How long each part took, in this run and in those that it continues."""

    scoring: float  # this run's alone
    training: float


class DistillResponse(TypedDict):
    """What was trained, how it compares, and whether it is offered."""

    collection: str
    instruction: str
    teacher: str
    made_from: str
    reranker: str  # name of the student
    offered: bool
    reason: str
    output: str | None  # the model folder; null if it is not offered
    use: list[str]  # commands that make it the collection's reranker
    queries: DistillQueries
    candidates: int
    scored_pairs: int  # by the teacher, in this run
    steps: int
    seed: int
    draws: int  # of the randomisation test
    seconds: DistillSeconds
    orders: list[DistillOrder]
    differences: list[DistillDifference]
