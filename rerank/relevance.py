"""What a model said about one passage, as a number that can be trusted to be one. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from winnow.retrieval.errors import RerankUnavailable

LOGIT_MAX: Final = 36.0  # beyond it a float64 cannot tell the relevance from 1


def checked_logits(logits: Sequence[float], *, expected: int) -> list[float]:
    """logit_yes - logit_no of every passage. Raises `RerankUnavailable` for a missing or a broken one.

    A score that is not a number sorts anywhere; it must never become a rank.
    """
    if len(logits) != expected:
        raise RerankUnavailable(f"{expected} passages were sent and {len(logits)} judgements came back")
    broken = [place for place, logit in enumerate(logits) if not math.isfinite(logit)]
    if broken:
        raise RerankUnavailable(f"the judgement of passage {broken[0]} is not a finite number")
    return [float(logit) for logit in logits]


def relevance_of(logit: float) -> float:
    """sigmoid(logit_yes - logit_no): the probability of "yes" where only "yes" and "no" can be said."""
    if logit >= 0.0:
        return 1.0 / (1.0 + math.exp(-logit))
    odds = math.exp(logit)  # the other branch would overflow for a large negative logit
    return odds / (1.0 + odds)


def logit_of(relevance: float) -> float:
    """The inverse, for servers that return probabilities; certainty is kept finite."""
    if not 0.0 <= relevance <= 1.0:  # NaN is refused here too: it compares false
        raise RerankUnavailable(f"a relevance of {relevance} is not a probability")
    if relevance in {0.0, 1.0}:
        return LOGIT_MAX if relevance else -LOGIT_MAX
    return max(-LOGIT_MAX, min(LOGIT_MAX, math.log(relevance) - math.log1p(-relevance)))
