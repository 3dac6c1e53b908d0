"""Measures of ranking quality for graded judgments: nDCG, Recall and MRR, as trec_eval defines them.

nDCG has linear gain: a document's grade, discounted by log2(rank + 1), divided by the same sum for the ideal order.
(Another common definition raises 2 to the grade; with grades 0 and 1 both agree.) A document is relevant from grade 1;
one without a judgment has grade 0. A query without a ranking counts as 0 and is never left out of a mean. A query
without a relevant document is left out of every mean, as in trec_eval, because nothing can answer it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from winnow.retrieval.errors import InvalidRequest

Judgments: TypeAlias = Mapping[str, int]  # grade by document id
Score: TypeAlias = Callable[[Sequence[str], Judgments, int], float]

_SPELLING: Final = re.compile(r"(?P<name>[A-Za-z]+)@(?P<depth>[1-9][0-9]{0,5})")


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure at a depth. `str(parse("R@100"))` is `Recall@100`."""

    name: str
    depth: int

    def __str__(self) -> str:
        return f"{self.name}@{self.depth}"

    def of(self, ranking: Sequence[str], judgments: Judgments) -> float:
        """Return the measure for one query. `ranking` is unique document ids, best first."""
        assert len(set(ranking)) == len(ranking), "a ranking names each document once. This is a bug."
        return _SCORES[self.name](ranking, judgments, self.depth)

    def mean(self, rankings: Mapping[str, Sequence[str]], judgments: Mapping[str, Judgments]) -> float:
        """Return the mean over all queries with a relevant document; 0 if there are none."""
        answerable = [query for query, grades in judgments.items() if any(grade > 0 for grade in grades.values())]
        if not answerable:
            return 0.0
        return math.fsum(self.of(rankings.get(query, ()), judgments[query]) for query in answerable) / len(answerable)


def parse(spelling: str) -> Measure:
    """Parse `nDCG@10`, `Recall@100` or `R@100`, `MRR@10` or `RR@10`; case does not matter."""
    match = _SPELLING.fullmatch(spelling.strip())
    name = _NAMES.get(match["name"].lower()) if match else None
    if match is None or name is None:
        raise InvalidRequest(f"{spelling!r} is not a measure; write nDCG@10, Recall@100 or MRR@10")
    return Measure(name, int(match["depth"]))


def _ndcg(ranking: Sequence[str], judgments: Judgments, depth: int) -> float:
    gains = [max(0, judgments.get(document, 0)) for document in ranking[:depth]]
    best = sorted((grade for grade in judgments.values() if grade > 0), reverse=True)[:depth]
    return _discounted(gains) / _discounted(best) if best else 0.0


def _discounted(gains: Sequence[int]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def _recall(ranking: Sequence[str], judgments: Judgments, depth: int) -> float:
    relevant = {document for document, grade in judgments.items() if grade > 0}
    return len(relevant.intersection(ranking[:depth])) / len(relevant) if relevant else 0.0


def _reciprocal_rank(ranking: Sequence[str], judgments: Judgments, depth: int) -> float:
    found = (1.0 / rank for rank, document in enumerate(ranking[:depth], start=1) if judgments.get(document, 0) > 0)
    return next(found, 0.0)


_SCORES: Final[Mapping[str, Score]] = {"nDCG": _ndcg, "Recall": _recall, "MRR": _reciprocal_rank}
_NAMES: Final = {"ndcg": "nDCG", "recall": "Recall", "r": "Recall", "mrr": "MRR", "rr": "MRR"}
