"""Chooses how much weight recall keeps in a distilled reranker's order. Pure.

The weight is the one whose order agrees best with the teacher on the development queries, which the model was not
trained on. Relevance alone is one of the choices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from winnow.rerank.distill.comparison import best_first, ndcg
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.ranking import mixture_for
from winnow.rerank.relevance import relevance_of
from winnow.retrieval.model.folder import Mixture, Order

RECALL_WEIGHTS: Final = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)  # beside a relevance weight of 1
_RELEVANCE_ALONE: Final = Mixture(recall_weight=0.0, relevance_weight=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """What is known of one query's candidates, in recall's order."""

    standings: tuple[float, ...] | None  # None: recall gave none
    logits: tuple[float, ...]  # of the model whose order it is
    teacher: tuple[float, ...]

    @property
    def gains(self) -> list[float]:
        return [relevance_of(logit) for logit in self.teacher]


def order_under(example: Example, mixture: Mixture | None) -> list[int]:
    """The places of an answer under these weights; None is relevance alone."""
    if mixture is None or example.standings is None:
        return best_first(example.logits)
    pairs = zip(example.standings, example.logits, strict=True)
    return best_first(
        [mixture.recall_weight * standing + mixture.relevance_weight * logit for standing, logit in pairs]
    )


def answered_order(example: Example, order: Order | None, instruction: str) -> list[int]:
    """The places of an answer of a reranker with this declared order. Without weight it is recall's own order."""
    mixture = mixture_for(order, instruction)
    if mixture is not None and mixture.relevance_weight == 0:
        return list(range(len(example.logits)))
    return order_under(example, mixture)


def fit_mixture(examples: Sequence[Example]) -> Mixture:
    """The weights that agree best with the teacher; of equal ones the smallest weight of recall."""
    choices = [Mixture(recall_weight=weight, relevance_weight=1.0) for weight in RECALL_WEIGHTS]
    best = max(choices, key=lambda each: (round(_agreement(examples, each), 6), -each.recall_weight))
    return Mixture(
        recall_weight=best.recall_weight, relevance_weight=1.0, bias=0.0 if not examples else _bias(examples, best)
    )


def order_with(fitted: Mixture, before: Order | None, instruction: str) -> Order:
    """The declared order: the fitted weights for the kind of instruction they were fitted under, the others as before.

    A model without a declared order had relevance alone.
    """
    stock = before or Order(plain=_RELEVANCE_ALONE, instructed=_RELEVANCE_ALONE)
    is_plain = instruction == DEFAULT_INSTRUCTION
    return Order(plain=fitted if is_plain else stock.plain, instructed=stock.instructed if is_plain else fitted)


def _agreement(examples: Sequence[Example], mixture: Mixture) -> float:
    return fmean(ndcg(order_under(each, mixture), each.gains) for each in examples) if examples else 0.0


def _bias(examples: Sequence[Example], mixture: Mixture) -> float:
    """Puts the mean score where the teacher's mean relevance is; it changes no order."""
    mean = min(1 - 1e-6, max(1e-6, fmean(gain for each in examples for gain in each.gains)))
    raw = [
        mixture.recall_weight * standing + mixture.relevance_weight * logit
        for each in examples
        for standing, logit in zip(each.standings or [0.0] * len(each.logits), each.logits, strict=True)
    ]
    return round(math.log(mean / (1 - mean)) - fmean(raw), 4)
