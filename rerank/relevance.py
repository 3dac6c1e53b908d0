"""Converts model output to relevance scores, and refuses output that is not a number. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from winnow.retrieval.errors import RerankUnavailable

LOGIT_MAX: Final = 36.0  # beyond it the relevance equals 1 in float64


def check_logits(logits: Sequence[float], *, expected: int) -> list[float]:
    """Return logit_yes - logit_no of every passage. Raises `RerankUnavailable` for missing or broken ones.

    NaN sorts anywhere; it must never become a rank.
    """
    if len(logits) != expected:
        raise RerankUnavailable(f"the model returned {len(logits)} scores for {expected} passages")
    broken = [place for place, logit in enumerate(logits) if not math.isfinite(logit)]
    if broken:
        raise RerankUnavailable(f"the model's score of passage {broken[0]} is not a finite number")
    return [float(logit) for logit in logits]


def relevance_of(logit: float) -> float:
    """sigmoid(logit_yes - logit_no): the probability of "yes" if only "yes" and "no" are possible."""
    if logit >= 0.0:
        return 1.0 / (1.0 + math.exp(-logit))
    odds = math.exp(logit)  # the other branch would overflow for a large negative logit
    return odds / (1.0 + odds)


def logit_of(relevance: float) -> float:
    """The inverse, for servers that return probabilities; 0 and 1 stay finite."""
    if not 0.0 <= relevance <= 1.0:  # NaN is refused here too: it compares false
        raise RerankUnavailable(f"a relevance of {relevance} is not a probability")
    if relevance in {0.0, 1.0}:
        return LOGIT_MAX if relevance else -LOGIT_MAX
    return max(-LOGIT_MAX, min(LOGIT_MAX, math.log(relevance) - math.log1p(-relevance)))
